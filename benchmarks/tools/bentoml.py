# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "bentoml==1.4.39", "torch==2.13.0", "numpy==2.4.6",
#     "scikit-learn==1.9.1", "onnx==1.23.2", "onnxruntime==1.32.0", "mlflow==3.17.2",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "BentoML"
# homepage = "https://bentoml.com"
# devices = ["cpu"]
# settings = ["framework", "access_log", "max_batch"]
# ///
"""BentoML: a service class, as its quickstart writes it."""

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

from benchmarks import wheels
from benchmarks.contract import JOB, Dialect, Endpoint, Probing, Refused, Serving
from benchmarks.interface import fetch, wait

REFUSAL_S, REFUSAL = 30.0, "doesn't support gRPC serving"
PINNED = f"""\
import bentoml


@bentoml.service
class Pinned:
    @bentoml.api
    def version(self) -> str:
        import {wheels.NAME}

        return {wheels.NAME}.version
"""
MODEL = "probed"  # in BentoML's store
IMPORTED = f"""\
import bentoml
import numpy


@bentoml.service
class Imported:
    def __init__(self) -> None:
        self.model = bentoml.mlflow.load_model("{MODEL}:latest")

    @bentoml.api
    def predict(self, x: numpy.ndarray) -> numpy.ndarray:
        return self.model.predict(x)
"""
# Read when the service is declared, in the server's processes; the worker that starts them has no job yet.
replicas, settings, both = 1, {}, False
if JOB in os.environ:
    own = Serving.from_environment()
    replicas, settings, both = own.replicas, own.settings, own.beside is not None
batching = {"batchable": True, "max_batch_size": settings["max_batch"]} if "max_batch" in settings else {}


@bentoml.service(workers=replicas, logging={"access": {"enabled": settings.get("access_log", True)}})
class Model:
    def __init__(self) -> None:
        self.predictors = {name: job.predictor() for name, job in Serving.from_environment().models.items()}

    @bentoml.api(**batching)
    def predict(self, x: np.ndarray) -> np.ndarray:
        predictions: np.ndarray = self.predictors["model"](x)
        return predictions

    if both:

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
    refusal = grpc_answer(job) if job.second else None  # before the server runs, whose files it would touch
    with job.start(command, variables) as server:
        yield Endpoint(
            f"{root}/predict",
            Dialect(request='{"x": $rows}', response=""),
            process=server,
            metrics=f"{root}/metrics",
            second=f"{root}/second",
            grpc=refusal,
            api=(f"{root}/docs.json",),
        )


def grpc_answer(job: Serving) -> Refused | None:
    """What BentoML says to serving this class over gRPC; None where it says anything else."""
    command = [sys.executable, "-m", "bentoml", "serve-grpc", f"{__name__}:Model", "--host", job.host]
    command += ["--port", str(job.ports[1]), "--working-dir", str(Path(__file__).parents[2])]
    variables = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": f"{job.scratch}/refused"}
    with contextlib.suppress(subprocess.TimeoutExpired):
        asked = subprocess.run(
            command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=REFUSAL_S, check=False
        )
        for line in asked.stderr.splitlines():
            if REFUSAL in line:
                return Refused(f"to a service class, `bentoml serve-grpc` says: {line.strip()}")
    return None


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    yield {
        "dependencies": lambda folder, version: pinned(job, folder, version),
        "mlflow": lambda folder, rows: imported(job, folder, rows),
    }


def pinned(job: Probing, folder: Path, version: str) -> str:
    """What a service sees of the package that its Bento asks for, on an interpreter rebuilt from the Bento alone."""
    project = Path(job.scratch, "project")
    project.mkdir()
    (project / "service.py").write_text(PINNED)
    python = {"packages": [f"{wheels.NAME}=={version}"], "lock_packages": False, "no_index": True}
    python |= {"find_links": [str(folder)]}
    (project / "bentofile.yaml").write_text(json.dumps({"service": "service:Pinned", "python": python}))
    variables = {**os.environ, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": f"{job.scratch}/bentoml"}
    subprocess.run([sys.executable, "-m", "bentoml", "build"], cwd=project, env=variables, check=True)
    bento = next(Path(job.scratch, "bentoml").rglob("bento.yaml")).parent
    interpreter = rebuilt(Path(job.scratch, "rebuilt"), bento / "env/python/requirements.txt")
    command = [str(interpreter), "-m", "bentoml", "serve", str(bento), "--host", job.host, "--port", str(job.ports[0])]
    with job.start(command, variables) as server:
        root = f"http://{job.host}:{job.ports[0]}"
        wait(f"{root}/docs.json", server)
        return fetch(f"{root}/version", body=b"{}").strip('"')


def imported(job: Probing, folder: Path, rows: list[list[float]]) -> list[float]:
    """What a service answers with a model that `bentoml.mlflow` has taken into BentoML's own store."""
    project = Path(job.scratch, "imported")
    project.mkdir()
    (project / "service.py").write_text(IMPORTED)
    take = f"import bentoml; bentoml.mlflow.import_model({MODEL!r}, {str(folder)!r})"
    variables = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": f"{job.scratch}/store"}
    variables |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", take], env={**os.environ, **variables}, check=True)
    command = [sys.executable, "-m", "bentoml", "serve", "service:Imported", "--working-dir", str(project)]
    with job.start([*command, "--host", job.host, "--port", str(job.ports[1])], variables) as server:
        root = f"http://{job.host}:{job.ports[1]}"
        wait(f"{root}/docs.json", server)
        found: list[float] = json.loads(fetch(f"{root}/predict", body=json.dumps({"x": rows}).encode()))
    return found


def rebuilt(place: Path, requirements: Path) -> Path:
    """A new interpreter that sees what is installed here, with what a Bento asks for installed into it."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text(sysconfig.get_path("purelib"))
    interpreter = place / "bin/python"
    subprocess.run([interpreter, "-m", "pip", "install", "--no-index", "--requirement", requirements], check=True)
    return interpreter
