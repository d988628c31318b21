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
"""MLflow: a pyfunc model behind `mlflow models serve`, as Databricks packages it; tracking and registry on SQLite."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contract import Declined, Dialect, Endpoint, Probing, Serving


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


class Store:
    """Tracking and model registry through MLflow's own client."""

    def __init__(self, folder: Path) -> None:
        import mlflow
        from mlflow import MlflowClient

        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        self.folder, self.client = folder, MlflowClient()
        self.experiment = self.client.create_experiment("probes", artifact_location=f"file://{folder}/artifacts")

    def log(self, name: str, parameters: Mapping[str, str], series: Mapping[str, list[float]], artefact: Path) -> str:
        from mlflow.entities import Metric, Param

        run: str = self.client.create_run(self.experiment, run_name=name).info.run_id
        metrics = [
            Metric(metric, value, timestamp=step, step=step)
            for metric, values in series.items()
            for step, value in enumerate(values)
        ]
        self.client.log_batch(run, metrics=metrics, params=[Param(*pair) for pair in parameters.items()])
        self.client.log_artifact(run, str(artefact))
        self.client.set_terminated(run)
        return run

    def read(self, run: str) -> tuple[Mapping[str, str], Mapping[str, list[float]], bytes]:
        data = self.client.get_run(run).data
        series = {
            metric: [point.value for point in sorted(self.client.get_metric_history(run, metric), key=lambda p: p.step)]
            for metric in data.metrics
        }
        (artefact,) = self.client.list_artifacts(run)
        return data.params, series, Path(self.client.download_artifacts(run, artefact.path)).read_bytes()

    def search(self, metric: str, above: float) -> set[str]:
        found = self.client.search_runs([self.experiment], filter_string=f"metrics.{metric} > {above}")
        return {run.info.run_id for run in found}

    def delete(self, run: str) -> None:
        self.client.delete_run(run)

    def put(self, name: str, file: Path) -> str:
        version, _ = self.create(name, file, None)
        return version

    def create(self, name: str, file: Path, run: str | None) -> tuple[str, str]:
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):  # it exists already
            self.client.create_registered_model(name)
        made = self.client.create_model_version(name, f"file://{file}", run_id=run)
        return str(made.version), str(made.run_id or "")

    def get(self, name: str, version: str) -> bytes:
        return Path(self.client.get_model_version_download_uri(name, version).removeprefix("file://")).read_bytes()

    def assign(self, name: str, stage: str, version: str) -> None:
        self.client.set_registered_model_alias(name, stage, version)

    def assigned(self, name: str, stage: str) -> bytes:
        return self.get(name, str(self.client.get_model_version_by_alias(name, stage).version))

    def made(self, file: Path) -> tuple[str, str]:
        run = self.client.create_run(self.experiment).info.run_id
        version, _ = self.create("made", file, run)
        return run, version

    def alone(self, file: Path) -> str:
        version, _ = self.create("made", file, None)
        return version

    def origin(self, version: str) -> str:
        return str(self.client.get_model_version("made", version).run_id or "")


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    store = Store(Path(job.scratch))
    yield {
        "track": store,
        "register": store,
        "lineage": store,
        "version": Declined("`log_input` records a data set's source and digest, and keeps no bytes of it"),
    }
