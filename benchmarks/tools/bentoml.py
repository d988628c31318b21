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
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bentoml
import numpy as np

from benchmarks.contract import JOB, Declined, Dialect, Endpoint, Serving

# Read when the service is declared, in the server's processes; the worker that starts them has no job yet.
REFUSAL_S = 30.0
replicas, settings = 1, {}
if JOB in os.environ:
    replicas, settings = Serving.from_environment().replicas, Serving.from_environment().settings
batching = {"batchable": True, "max_batch_size": settings["max_batch"]} if "max_batch" in settings else {}


@bentoml.service(workers=replicas, logging={"access": {"enabled": settings.get("access_log", True)}})
class Model:
    def __init__(self) -> None:
        self.predictors = {name: job.predictor() for name, job in Serving.from_environment().models.items()}

    @bentoml.api(**batching)
    def predict(self, x: np.ndarray) -> np.ndarray:
        predictions: np.ndarray = self.predictors["model"](x)
        return predictions

    @bentoml.api(**batching)
    def second(self, x: np.ndarray) -> np.ndarray:
        predictions: np.ndarray = self.predictors["second"](x)
        return predictions


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(sys.executable, "-m", "bentoml", "serve", f"{__name__}:Model"),
        *("--host", job.host, "--port", str(job.port), "--working-dir", str(Path(__file__).parents[2])),
    ]
    variables = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": f"{job.scratch}/bentoml"}
    root = f"http://{job.host}:{job.port}"
    with job.start(command, variables) as server:
        yield Endpoint(
            f"{root}/predict",
            Dialect(request='{"x": $rows}', response=""),
            process=server,
            metrics=f"{root}/metrics",
            second=f"{root}/second",
            grpc=grpc_answer(job, variables) if job.second else None,
        )


def grpc_answer(job: Serving, variables: dict[str, str]) -> Declined | None:
    """What BentoML says to serving this class over gRPC; None where it does not refuse at once."""
    command = [sys.executable, "-m", "bentoml", "serve-grpc", f"{__name__}:Model", "--host", job.host]
    command += ["--port", str(job.ports[1]), "--working-dir", str(Path(__file__).parents[2])]
    try:
        asked = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=REFUSAL_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    lines = [line for line in (asked.stderr or asked.stdout).splitlines() if line.strip()]
    return Declined(f"`bentoml serve-grpc`: {lines[-1].strip()}") if asked.returncode and lines else None
