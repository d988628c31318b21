# /// script
# requires-python = ">=3.11"
# dependencies = ["boto3==1.44.7"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "AWS client"
# homepage = "https://boto3.amazonaws.com"
# devices = ["cpu"]
# ///
"""Amazon Web Services, as far as its installed client shows: which operations exist. Nothing is called."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import boto3

from benchmarks.contract import Probing

# What backs a row of the table: service, operation, and a member that its input must have.
OPERATIONS = {
    "storage": [("s3", "PutObject", "Body"), ("redshift", "CreateCluster", ""), ("rds", "CreateDBInstance", "")],
    "etl": [("emr", "RunJobFlow", ""), ("glue", "StartJobRun", ""), ("sagemaker", "CreateProcessingJob", "")],
    "exploration": [("athena", "StartQueryExecution", ""), ("sagemaker", "CreateAutoMLJobV2", "")],
    "training": [("sagemaker", "CreateTrainingJob", "ResourceConfig.InstanceCount")],
    "versioning": [("sagemaker", "CreateModelPackage", ""), ("sagemaker", "DescribeModelPackage", "")],
    "tracking": [("sagemaker-metrics", "BatchPutMetrics", ""), ("sagemaker-metrics", "BatchGetMetrics", "")],
    "batch": [("sagemaker", "CreateTransformJob", "")],
    "pipelines": [("sagemaker", "CreatePipeline", ""), ("sagemaker", "StartPipelineExecution", "")],
    "sso": [("sso-admin", "CreateAccountAssignment", "")],
    "scaling": [("application-autoscaling", "RegisterScalableTarget", "MinCapacity")],
}


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    session = boto3.Session(region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none")

    def there(service: str, operation: str, member: str) -> bool:
        if service not in session.get_available_services():
            return False
        model = session.client(service).meta.service_model
        if operation not in model.operation_names:
            return False
        shape = model.operation_model(operation).input_shape
        for part in filter(None, member.split(".")):
            if part not in getattr(shape, "members", {}):
                return False
            shape = shape.members[part]
        return True

    found = {}
    for name, asked in OPERATIONS.items():
        said = ", ".join(f"{operation} of {service}" for service, operation, _ in asked)
        found[name] = f"{said} in boto3 {boto3.__version__}", all(there(*one) for one in asked)
    yield {"operations": found}
