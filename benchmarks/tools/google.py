# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "google-cloud-aiplatform==2.7.0", "google-cloud-bigquery==3.47.0", "google-cloud-compute==1.57.0",
#     "google-cloud-dataflow-client==0.14.1", "google-cloud-storage==3.17.1",
# ]
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
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from benchmarks.contract import Probing
from benchmarks.symbols import there

AI, STORAGE, BIGQUERY = "google-cloud-aiplatform", "google-cloud-storage", "google-cloud-bigquery"
COMPUTE, DATAFLOW = "google-cloud-compute", "google-cloud-dataflow-client"
# What backs a row of the table: distribution, module, attribute.
OPERATIONS = {
    "storage": [
        (STORAGE, "google.cloud.storage", "Blob.upload_from_filename"),
        (BIGQUERY, "google.cloud.bigquery", "Client.load_table_from_file"),
    ],
    "etl": [
        (DATAFLOW, "google.cloud.dataflow_v1beta3", "FlexTemplatesServiceClient.launch_flex_template"),
        (BIGQUERY, "google.cloud.bigquery", "Client.query"),
    ],
    "exploration": [
        (BIGQUERY, "google.cloud.bigquery", "Client.query"),
        (AI, "google.cloud.aiplatform", "AutoMLTabularTrainingJob.run"),
    ],
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
    "scaling": [(COMPUTE, "google.cloud.compute", "AutoscalersClient.insert")],
}


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    found = {}
    for name, asked in OPERATIONS.items():
        said = ", ".join(f"{module}.{path} ({package} {version(package)})" for package, module, path in asked)
        found[name] = said, all(there(module, path) for _, module, path in asked)
    yield {"operations": found}
