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

# What backs a row of the table: service, operation.
OPERATIONS = {
    "storage": ("s3", "PutObject"),
    "etl": ("glue", "StartJobRun"),
    "exploration": ("athena", "StartQueryExecution"),
    "training": ("sagemaker", "CreateTrainingJob"),
    "versioning": ("sagemaker", "CreateModelPackage"),
    "tracking": ("sagemaker-metrics", "BatchPutMetrics"),
    "deployment": ("sagemaker", "CreateEndpoint"),
    "batch": ("sagemaker", "CreateTransformJob"),
    "pipelines": ("sagemaker", "CreatePipeline"),
    "sso": ("identitystore", "CreateUser"),
    "scaling": ("application-autoscaling", "RegisterScalableTarget"),
}


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    session = boto3.Session(region_name="eu-central-1", aws_access_key_id="none", aws_secret_access_key="none")
    known = set(session.get_available_services())
    found = {}
    for name, (service, operation) in OPERATIONS.items():
        model = session.client(service).meta.service_model if service in known else None
        there = model is not None and operation in model.operation_names
        found[name] = f"{operation} of {service} in boto3 {boto3.__version__}", there
    yield {"operations": found}
