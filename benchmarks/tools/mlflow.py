# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "mlflow==3.17.2", "torch==2.13.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "MLflow scoring server"
# homepage = "https://mlflow.org"
# devices = ["cpu"]
# settings = ["access_log"]
# ///
"""MLflow: a pyfunc model behind `mlflow models serve`, which is also what Databricks packages."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contract import Declined, Dialect, Endpoint, Serving


def package(job: Serving) -> None:
    """A model folder with code, signature and requirements."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    class Model(mlflow.pyfunc.PythonModel):
        def load_context(self, context: Any) -> None:
            self.predictor = Serving.from_environment().predictor()

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return self.predictor(model_input)

    width = np.load(Path(job.model, "payloads.npy"), mmap_mode="r").shape[2:]
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, *width))]))
    mlflow.pyfunc.save_model(
        f"{job.scratch}/model",
        python_model=Model(),
        signature=signature,
        pip_requirements=["torch==2.13.0", "numpy==2.4.6"],
    )


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", f"{job.scratch}/model"),
        *("--env-manager", "local", "--workers", str(job.replicas), "-h", job.host, "-p", str(job.port)),
    ]
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    if not job.settings.get("access_log", True):
        variables["UVICORN_ACCESS_LOG"] = "false"  # an option of the uvicorn command that `mlflow models serve` runs
    with job.start(command, variables) as server:
        yield Endpoint(
            f"http://{job.host}:{job.port}/invocations",
            Dialect('{"inputs": $rows}', "predictions"),
            process=server,
            metrics=Declined("the scoring server has no metrics page"),
            second=Declined("`mlflow models serve` takes one model"),
            grpc=Declined("the scoring server answers HTTP alone"),
        )
