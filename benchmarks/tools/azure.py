# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "azure-ai-ml==1.35.2", "azure-kusto-data==6.0.4", "azure-mgmt-databricks==3.0.0", "azure-mgmt-monitor==7.0.0",
#     "azure-storage-blob==12.31.1", "azure-synapse-spark==0.7.0", "six==1.17.0",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Azure ML client"
# homepage = "https://learn.microsoft.com/azure/machine-learning"
# devices = ["cpu"]
# ///
"""Microsoft Azure, as far as its installed clients show: which operations exist. Nothing is called."""

import contextlib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from benchmarks.contract import Probing
from benchmarks.symbols import there

ML, BLOB, DATABRICKS = "azure-ai-ml", "azure-storage-blob", "azure-mgmt-databricks"
KUSTO, MONITOR, SYNAPSE = "azure-kusto-data", "azure-mgmt-monitor", "azure-synapse-spark"
# What backs a row of the table: distribution, module, attribute.
OPERATIONS = {
    "storage": [(BLOB, "azure.storage.blob", "BlobClient.upload_blob")],
    "etl": [
        (DATABRICKS, "azure.mgmt.databricks.operations", "WorkspacesOperations.begin_create_or_update"),
        (SYNAPSE, "azure.synapse.spark.operations", "SparkBatchOperations.create_spark_batch_job"),
        (KUSTO, "azure.kusto.data", "KustoClient.execute"),
    ],
    "exploration": [
        (ML, "azure.ai.ml.automl", "classification"),
        (DATABRICKS, "azure.mgmt.databricks.operations", "WorkspacesOperations.begin_create_or_update"),
    ],
    "training": [(ML, "azure.ai.ml", "PyTorchDistribution"), (ML, "azure.ai.ml.entities", "JobResourceConfiguration")],
    "versioning": [
        (ML, "azure.ai.ml.operations", "ModelOperations.create_or_update"),
        (ML, "azure.ai.ml.operations", "ModelOperations.get"),
    ],
    "tracking": [(ML, "azure.ai.ml.entities", "Workspace.mlflow_tracking_uri")],
    "batch": [(ML, "azure.ai.ml.operations", "BatchEndpointOperations.invoke")],
    "pipelines": [(ML, "azure.ai.ml.dsl", "pipeline")],
    "scaling": [(MONITOR, "azure.mgmt.monitor.operations", "AutoscaleSettingsOperations.create_or_update")],
}


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    found = {}
    for name, asked in OPERATIONS.items():
        said = ", ".join(f"{module}.{path} ({package} {version(package)})" for package, module, path in asked)
        found[name] = said, all(there(module, path) for _, module, path in asked)
    yield {"operations": found}
