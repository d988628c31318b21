# /// script
# requires-python = ">=3.11"
# dependencies = ["azure-ai-ml==1.35.2", "azure-storage-blob==12.31.1"]
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
import importlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.contract import Probing

# What backs a row of the table: module, attribute.
OPERATIONS = {
    "storage": ("azure.storage.blob", "BlobClient.upload_blob"),
    "training": ("azure.ai.ml", "PyTorchDistribution"),
    "versioning": ("azure.ai.ml.operations", "ModelOperations.create_or_update"),
    "deployment": ("azure.ai.ml.operations", "OnlineDeploymentOperations.begin_create_or_update"),
    "batch": ("azure.ai.ml.operations", "BatchEndpointOperations.invoke"),
    "pipelines": ("azure.ai.ml.dsl", "pipeline"),
}


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    version = importlib.metadata.version("azure-ai-ml")
    found = {}
    for name, (module, path) in OPERATIONS.items():
        target: Any = importlib.import_module(module)
        for part in path.split("."):
            target = getattr(target, part, None)
        found[name] = f"{module}.{path} in azure-ai-ml {version}", target is not None
    yield {"operations": found}
