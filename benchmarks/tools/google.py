# /// script
# requires-python = ">=3.11"
# dependencies = ["google-cloud-aiplatform==2.7.0", "google-cloud-storage==3.17.1"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Google Cloud client"
# homepage = "https://cloud.google.com/python"
# devices = ["cpu"]
# ///
"""Google Cloud, as far as its installed clients show: which operations exist. Nothing is called."""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from benchmarks.contract import Probing

AI, STORAGE = "google-cloud-aiplatform", "google-cloud-storage"
# What backs a row of the table: distribution, module, attribute.
OPERATIONS = {
    "storage": [(STORAGE, "google.cloud.storage", "Blob.upload_from_filename")],
    "training": [
        (AI, "google.cloud.aiplatform", "CustomJob.run"),
        (AI, "google.cloud.aiplatform_v1.types", "WorkerPoolSpec.replica_count"),
    ],
    "versioning": [(AI, "google.cloud.aiplatform", "Model.upload"), (AI, "google.cloud.aiplatform", "ModelRegistry")],
    "tracking": [
        (AI, "google.cloud.aiplatform", "log_metrics"),
        (AI, "google.cloud.aiplatform", "get_experiment_df"),
    ],
    "batch": [(AI, "google.cloud.aiplatform", "Model.batch_predict")],
    "pipelines": [(AI, "google.cloud.aiplatform", "PipelineJob.submit")],
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
