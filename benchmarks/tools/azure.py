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
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from benchmarks.contract import Probing

ML, BLOB = "azure-ai-ml", "azure-storage-blob"
# What backs a row of the table: distribution, module, attribute.
OPERATIONS = {
    "storage": [(BLOB, "azure.storage.blob", "BlobClient.upload_blob")],
    "training": [(ML, "azure.ai.ml", "PyTorchDistribution"), (ML, "azure.ai.ml.entities", "JobResourceConfiguration")],
    "versioning": [
        (ML, "azure.ai.ml.operations", "ModelOperations.create_or_update"),
        (ML, "azure.ai.ml.operations", "ModelOperations.get"),
    ],
    "batch": [(ML, "azure.ai.ml.operations", "BatchEndpointOperations.invoke")],
    "pipelines": [(ML, "azure.ai.ml.dsl", "pipeline")],
}


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    found = {}
    for name, asked in OPERATIONS.items():
        said = ", ".join(f"{module}.{path} ({package} {version(package)})" for package, module, path in asked)
        found[name] = said, all(there(module, path) for _, module, path in asked)
    yield {"operations": found}


def there(module: str, path: str) -> bool:
    target: Any = importlib.import_module(module)
    for part in path.split("."):
        # Fields of a message are no attributes of its class.
        fields = getattr(getattr(target, "meta", None), "fields", {})
        target = fields[part] if part in fields else getattr(target, part, None)
    return target is not None
