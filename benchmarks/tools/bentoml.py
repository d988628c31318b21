# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "bentoml==1.4.39", "torch==2.13.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "BentoML"
# homepage = "https://bentoml.com"
# devices = ["cpu"]
# settings = ["access_log", "max_batch"]
# ///
"""BentoML: a service class, as its quickstart writes it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import bentoml
import numpy as np

from benchmarks.contract import JOB, Dialect, Endpoint, Serving

# Read when the service is declared, in the server's processes; the worker that starts them has no job yet.
replicas, settings = 1, {}
if JOB in os.environ:
    replicas, settings = Serving.from_environment().replicas, Serving.from_environment().settings
batching = {"batchable": True, "max_batch_size": settings["max_batch"]} if "max_batch" in settings else {}


@bentoml.service(workers=replicas, logging={"access": {"enabled": settings.get("access_log", True)}})
class Model:
    def __init__(self) -> None:
        self.predictor = Serving.from_environment().predictor()

    @bentoml.api(**batching)
    def predict(self, x: np.ndarray) -> np.ndarray:
        predictions: np.ndarray = self.predictor(x)
        return predictions


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(sys.executable, "-m", "bentoml", "serve", f"{__name__}:Model"),
        *("--host", job.host, "--port", str(job.port), "--working-dir", str(Path(__file__).parents[2])),
    ]
    variables = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": f"{job.scratch}/bentoml"}
    with job.start(command, variables) as server:
        yield Endpoint(
            f"http://{job.host}:{job.port}/predict", Dialect(request='{"x": $rows}', response=""), process=server
        )
