# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "mlflow[auth]==3.17.2", "torch==2.13.0", "numpy==2.4.6",
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
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contract import Declined, Dialect, Endpoint, Probing, Serving
from benchmarks.interface import Gate, Pages, fetch


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


SERVER = (sys.executable, "-m", "mlflow", "server", "--workers", "1")


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

    def search(self, metric: str, above: float, parameter: str, value: str) -> set[str]:
        text = f"metrics.{metric} > {above} and params.{parameter} = '{value}'"
        return {run.info.run_id for run in self.client.search_runs([self.experiment], filter_string=text)}

    def delete(self, run: str) -> None:
        self.client.delete_run(run)

    def autolog(self, fit: Callable[[], None]) -> tuple[int, int, int]:
        import mlflow

        mine = self.client.create_experiment("autolog", artifact_location=f"file://{self.folder}/autolog")
        mlflow.set_experiment(experiment_id=mine)
        fit()
        before = len(self.client.search_runs([mine]))
        mlflow.sklearn.autolog(log_models=False)
        fit()
        mlflow.sklearn.autolog(disable=True)
        (run,) = self.client.search_runs([mine])
        return before, len(run.data.params), len(run.data.metrics)

    def put(self, name: str, file: Path) -> str:
        return self.logged(name, file)[1]

    def logged(self, name: str, file: Path, data: str = "") -> tuple[str, str]:
        """A pyfunc model around a file, logged in a run and registered by the same call; the run and the version."""
        import mlflow

        class Holder(mlflow.pyfunc.PythonModel):
            def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
                return model_input

        with mlflow.start_run(experiment_id=self.experiment) as run:
            if data:
                mlflow.log_input(mlflow.data.from_numpy(np.arange(4.0), name=data), context="training")
            made = mlflow.pyfunc.log_model(
                name="model",
                python_model=Holder(),
                artifacts={"file": str(file)},
                pip_requirements=["mlflow"],
                registered_model_name=name,
            )
        return run.info.run_id, str(made.registered_model_version)

    def get(self, name: str, version: str) -> bytes:
        return self.content(f"models:/{name}/{version}")

    def content(self, uri: str) -> bytes:
        import mlflow

        (file,) = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri), "artifacts").iterdir()
        return file.read_bytes()

    def assign(self, name: str, stage: str, version: str) -> None:
        self.client.set_registered_model_alias(name, stage, version)

    def assigned(self, name: str, stage: str) -> bytes:
        return self.content(f"models:/{name}@{stage}")

    def made(self, file: Path, data: str) -> tuple[str, str]:
        return self.logged("made", file, data)

    def alone(self, file: Path) -> str:
        return str(self.client.create_model_version("made", f"file://{file}").version)

    def origin(self, version: str) -> tuple[str, str]:
        run = self.client.get_model_version("made", version).run_id
        if not run:
            return "", ""
        (given,) = self.client.get_run(run).inputs.dataset_inputs
        return run, given.dataset.name


@contextlib.contextmanager
def pages(job: Probing, store: Store) -> Iterator[Pages]:
    """The tracking server over the same database, with a run and a model that the client has made."""
    made = f"run-{job.seed}-of-the-pages", f"model-{job.seed}-of-the-pages"
    run = store.client.create_run(store.experiment, run_name=made[0]).info.run_id
    store.client.create_registered_model(made[1])
    root = f"http://{job.host}:{job.ports[0]}"
    asked = f"{root}/ajax-api/2.0/mlflow"

    def told() -> str:
        return fetch(f"{asked}/runs/get?run_id={run}") + fetch(f"{asked}/registered-models/search")

    command = [*SERVER, "--backend-store-uri", f"sqlite:///{job.scratch}/mlflow.db"]
    with job.start([*command, "--host", job.host, "--port", str(job.ports[0])]) as server:
        yield Pages(root, made, told, server)


@contextlib.contextmanager
def gate(job: Probing) -> Iterator[Gate]:
    """The tracking server with its own basic authentication, over an empty database."""
    from mlflow.server.auth.client import AuthServiceClient

    config, password = Path(job.scratch, "auth.ini"), f"secret-{job.seed}-of-the-gate"
    config.write_text(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = sqlite:///{job.scratch}/auth.db\nadmin_username = admin\nadmin_password = {password}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [*SERVER, "--app-name", "basic-auth", "--backend-store-uri", f"sqlite:///{job.scratch}/gated.db"]
    variables = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": f"key-{job.seed}"}
    with job.start([*command, "--host", job.host, "--port", str(job.ports[1])], variables) as server:
        root, owner, guest = (
            f"http://{job.host}:{job.ports[1]}",
            ("admin", password),
            ("guest", f"secret-{job.seed}-of-the-guest"),
        )
        client = AuthServiceClient(root)

        def invited() -> tuple[str, str]:
            os.environ |= {"MLFLOW_TRACKING_USERNAME": owner[0], "MLFLOW_TRACKING_PASSWORD": owner[1]}
            client.create_user(*guest)
            return guest

        def granted() -> None:
            client.grant_user_permission(guest[0], "experiment", "0", "READ")

        yield Gate(f"{root}/api/2.0/mlflow/experiments/get?experiment_id=0", owner, invited, granted, server)


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before MLflow is imported, which reads it
    store = Store(Path(job.scratch))
    yield {
        "track": store,
        "register": store,
        "lineage": store,
        "autolog": store.autolog,
        "ui": lambda: pages(job, store),
        "access": lambda: gate(job),
        "version": Declined("`log_input` records a data set's source and digest, and keeps no bytes of it"),
    }
