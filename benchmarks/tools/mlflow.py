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

from __future__ import annotations

import contextlib
import http.server
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np

from benchmarks import teamwork
from benchmarks.contract import Declined, Dialect, Endpoint, Probing, Serving
from benchmarks.interface import Gate, Pages, fetch, wait
from benchmarks.symbols import there


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


ADMIN = "admin"
DOCKER = "mlflow.projects.docker", "build_docker_image"
DATABRICKS = "mlflow.store.tracking.databricks_rest_store", "DatabricksTracingRestStore"
SERVER = (sys.executable, "-m", "mlflow", "server", "--workers", "1")


def echo() -> Any:
    """A model that gives back what it is asked."""
    import mlflow

    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return model_input

    return Echo()


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

        with mlflow.start_run(experiment_id=self.experiment) as run:
            if data:
                mlflow.log_input(mlflow.data.from_numpy(np.arange(4.0), name=data), context="training")
            made = mlflow.pyfunc.log_model(
                name="model",
                python_model=echo(),
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
def guarded(job: Probing, name: str) -> Iterator[tuple[str, str, Popen[bytes]]]:
    """The tracking server with its own basic authentication, over an empty database: its address and password."""
    config, password = Path(job.scratch, f"{name}.ini"), f"secret-{job.seed}-of-the-gate"
    config.write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{job.scratch}/{name}-users.db\n"
        f"admin_username = {ADMIN}\nadmin_password = {password}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [*SERVER, "--app-name", "basic-auth", "--backend-store-uri", f"sqlite:///{job.scratch}/{name}.db"]
    variables = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": f"key-{job.seed}"}
    with job.start([*command, "--host", job.host, "--port", str(job.ports[1])], variables) as server:
        yield f"http://{job.host}:{job.ports[1]}", password, server


def become(user: str, password: str) -> None:
    """Whose name MLflow's clients in this process give from now on."""
    os.environ |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


@contextlib.contextmanager
def gate(job: Probing) -> Iterator[Gate]:
    from mlflow.server.auth.client import AuthServiceClient

    with guarded(job, "gate") as (root, password, server):
        client, guest = AuthServiceClient(root), ("guest", f"secret-{job.seed}-of-the-guest")

        def invited() -> tuple[str, str]:
            become(ADMIN, password)
            client.create_user(*guest)
            return guest

        def granted() -> None:
            client.grant_user_permission(guest[0], "experiment", "0", "READ")

        address = f"{root}/api/2.0/mlflow/experiments/get?experiment_id=0"
        yield Gate(address, (ADMIN, password), invited, granted, server)


class Desk:
    """A version on a server with users; each may edit its model."""

    def __init__(self, root: str, password: str) -> None:
        from mlflow import MlflowClient
        from mlflow.server.auth.client import AuthServiceClient

        self.client, self.password = MlflowClient(root, root), password
        become(ADMIN, password)
        users = AuthServiceClient(root)
        self.client.create_registered_model("shared")
        run = self.client.create_run("0").info  # a version's source has to lie in a run
        made = self.client.create_model_version("shared", f"{run.artifact_uri}/model", run.run_id)
        self.version = made.version
        for user in teamwork.USERS:
            users.create_user(user, password)
            users.grant_user_permission(user, "registered_model", "shared", "EDIT")

    def change(self, user: str, text: str) -> None:
        become(user, self.password)
        self.client.update_model_version("shared", self.version, description=text)

    def seen(self) -> tuple[str, str]:
        become(ADMIN, self.password)
        found = self.client.get_model_version("shared", self.version)
        return found.description or "", found.user_id or ""


@contextlib.contextmanager
def desk(job: Probing) -> Iterator[Desk]:
    with guarded(job, "desk") as (root, password, server):
        wait(root, server, ADMIN, password)
        yield Desk(root, password)


class Source:
    """Git model versioning gives a logged model the commit and the changes of its code; that model is registered."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def make(self, folder: Path) -> str:
        import mlflow

        mlflow.set_experiment(experiment_id=self.store.experiment)
        with contextlib.chdir(folder), mlflow.genai.enable_git_model_versioning() as state:
            made = mlflow.pyfunc.log_model(
                python_model=echo(),
                pip_requirements=["mlflow"],
                model_id=state.active_model.model_id,
                registered_model_name="coded",
            )
        return str(made.registered_model_version)

    def code(self, version: str) -> tuple[str, bool]:
        source = self.store.client.get_model_version("coded", version).source  # models:/ and the logged model's id
        tags = self.store.client.get_logged_model(source.rpartition("/")[2]).tags
        return tags["mlflow.source.git.commit"], tags["mlflow.source.git.dirty"] == "true"


class Events:
    """The server's webhook for an alias, heard on loopback."""

    def __init__(self, root: str, address: str, told: list[Any]) -> None:
        from mlflow import MlflowClient

        self.client, self.told = MlflowClient(root, root), told
        self.client.create_registered_model("net")
        self.run = self.client.create_run("0").info
        self.client.create_webhook("promotion", address, ["model_version_alias.created"])

    def register(self) -> str:
        return str(self.client.create_model_version("net", f"{self.run.artifact_uri}/model", self.run.run_id).version)

    def promote(self, version: str) -> None:
        self.client.set_registered_model_alias("net", "production", version)

    def heard(self) -> list[str]:
        return [one["data"]["version"] for one in self.told]


@contextlib.contextmanager
def events(job: Probing) -> Iterator[Events]:
    told: list[Any] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass  # not into the trial's log

    command = [*SERVER, "--backend-store-uri", f"sqlite:///{job.scratch}/events.db"]
    # By itself the server calls public addresses alone, and by https.
    variables = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    root = f"http://{job.host}:{job.ports[2]}"
    with (
        http.server.ThreadingHTTPServer((job.host, 0), Receiver) as receiver,
        job.start([*command, "--host", job.host, "--port", str(job.ports[2])], variables) as server,
    ):
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        try:
            wait(root, server)
            yield Events(root, f"http://{job.host}:{receiver.server_port}/", told)
        finally:
            receiver.shutdown()


@contextlib.contextmanager
def deployed(job: Probing, store: Store, rows: Sequence[Sequence[float]]) -> Iterator[teamwork.Deployed]:
    """`mlflow models serve` of the version behind an alias."""
    import mlflow
    from sklearn.linear_model import LinearRegression

    answers: list[list[float]] = []
    mlflow.set_experiment(experiment_id=store.experiment)
    for slope in (2.0, 3.0):
        model = LinearRegression().fit([[0.0], [1.0], [2.0]], [0.0, slope, 2 * slope])
        made = mlflow.sklearn.log_model(
            model, name="model", registered_model_name="line", pip_requirements=["scikit-learn"]
        )
        store.client.set_registered_model_alias("line", f"slope-{slope:.0f}", made.registered_model_version)
        answers.append(model.predict(rows).tolist())
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/line@slope-2"),
        *("--env-manager", "local", "-h", job.host, "-p", str(job.ports[2])),
    ]
    variables = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{job.scratch}/mlflow.db",
        # `mlflow models serve` starts uvicorn from there.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    root = f"http://{job.host}:{job.ports[2]}"
    with job.start(command, variables) as server:
        wait(f"{root}/ping", server)
        body = json.dumps({"inputs": rows}).encode()

        def call() -> list[float]:
            found: list[float] = json.loads(fetch(f"{root}/invocations", body=body))["predictions"]
            return found

        yield teamwork.Deployed(answers[0], answers[1], call)


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
        "code": Source(store),
        "shared": lambda: desk(job),
        "events": lambda: events(job),
        "deploy": lambda rows: deployed(job, store, rows),
        "operations": {
            "docker": ("build_docker_image of mlflow.projects.docker", there(*DOCKER)),
            "databricks": ("DatabricksTracingRestStore of mlflow.store.tracking", there(*DATABRICKS)),
        },
        "version": Declined("`log_input` records a data set's source and digest, and keeps no bytes of it"),
    }
