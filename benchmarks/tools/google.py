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
from typing import Any

from google.cloud import aiplatform

from benchmarks.contract import Probing

# What backs a row of the table: module, attribute.
OPERATIONS = {
    "storage": ("google.cloud.storage", "Blob.upload_from_filename"),
    "training": ("google.cloud.aiplatform", "CustomJob.run"),
    "versioning": ("google.cloud.aiplatform", "Model.upload"),
    "tracking": ("google.cloud.aiplatform", "log_metrics"),
    "deployment": ("google.cloud.aiplatform", "Model.deploy"),
    "batch": ("google.cloud.aiplatform", "Model.batch_predict"),
    "pipelines": ("google.cloud.aiplatform", "PipelineJob.submit"),
}


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    found = {}
    for name, (module, path) in OPERATIONS.items():
        target: Any = importlib.import_module(module)
        for part in path.split("."):
            target = getattr(target, part, None)
        found[name] = f"{module}.{path} in google-cloud-aiplatform {aiplatform.__version__}", target is not None
    yield {"operations": found}
