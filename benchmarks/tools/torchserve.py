# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "torchserve==0.12.0", "torch-model-archiver==0.12.0", "pyyaml==6.0.3", "setuptools==80.10.2", "pip==26.2",
#     "torch==2.13.0", "numpy==2.4.6", "scikit-learn==1.9.1", "onnx==1.23.2", "onnxruntime==1.32.0",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "TorchServe"
# homepage = "https://github.com/pytorch/serve"
# devices = ["cpu"]
# needs = ["java>=11"]
# settings = ["framework", "access_log", "max_batch", "max_delay_ms"]
# ///
"""TorchServe: a model archive with a custom handler. Upstream is archived since August 2025."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ts.torch_handler.base_handler import BaseHandler

from benchmarks import wheels
from benchmarks.contract import V1, Endpoint, Probing, Serving, together
from benchmarks.interface import wait

PINNED = f"""\
import {wheels.NAME}


def handle(data, context):
    return [{wheels.NAME}.version] * len(data or [])
"""
# Nothing a request: neither the access log nor the metrics log.
QUIET = """\
<Configuration>
  <Appenders><Console name="console"><PatternLayout pattern="%d %p %c %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
"""


class Handler(BaseHandler):
    """Runs in TorchServe's Python workers; `data` is a batch of requests."""

    def initialize(self, context: Any) -> None:
        # One handler for every model: the archive's manifest says which one this worker has.
        name = context.manifest["model"]["modelName"]
        self.predictor = Serving.from_environment().models[name].predictor()
        self.initialized = True

    def preprocess(self, data: list[dict[str, Any]]) -> list[Any]:
        bodies: list[Any] = [request.get("body") or request.get("data") for request in data]
        return [(json.loads(body) if isinstance(body, bytes | bytearray) else body)["instances"] for body in bodies]

    def inference(self, data: list[Any], *_: Any, **__: Any) -> list[Any]:
        return together(self.predictor, data)

    def postprocess(self, data: list[Any]) -> list[dict[str, Any]]:
        return [{"predictions": predictions.tolist()} for predictions in data]


def package(job: Serving) -> None:
    """A model archive around this file, and the server's configuration."""
    store = Path(job.scratch, "store")
    store.mkdir()
    archiver = str(Path(sys.executable).with_name("torch-model-archiver"))
    for name in job.models:
        subprocess.run(
            [archiver, "--model-name", name, "--version", "1.0", "--handler", __file__, "--export-path", str(store)],
            check=True,
        )
    model = {
        "minWorkers": job.replicas,
        "maxWorkers": job.replicas,
        "batchSize": job.settings.get("max_batch", 1),
        "maxBatchDelay": job.settings.get("max_delay_ms", 100),  # milliseconds; 100 is TorchServe's default
    }
    Path(job.scratch, "config.properties").write_text(
        addresses(job) + f"metrics_mode={'prometheus' if job.second else 'log'}\n"  # log is the default
        f"default_workers_per_model={job.replicas}\n"
        f"models={json.dumps({name: {'1.0': {'marName': f'{name}.mar', **model}} for name in job.models})}\n"
    )
    Path(job.scratch, "log4j2.xml").write_text(QUIET)


def addresses(job: Serving | Probing) -> str:
    """Of its configuration: where it answers."""
    first, second, third, fourth = job.ports
    return (
        f"inference_address=http://{job.host}:{first}\n"
        f"management_address=http://{job.host}:{second}\n"
        f"metrics_address=http://{job.host}:{third}\n"
        f"grpc_inference_address={job.host}\n"
        f"grpc_inference_port={fourth}\n"
        f"grpc_management_address={job.host}\n"
    )


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(str(Path(sys.executable).with_name("torchserve")), "--start", "--foreground", "--ncs"),
        *("--disable-token-auth", "--model-store", "store"),
        *("--models", *(f"{name}={name}.mar" for name in job.models)),
        *("--ts-config", "config.properties"),
        *([] if job.settings.get("access_log", True) else ["--log-config", "log4j2.xml"]),
    ]
    with job.start(command) as server:
        yield Endpoint(
            f"http://{job.host}:{job.port}/predictions/model",
            V1,
            process=server,
            metrics=f"http://{job.host}:{job.ports[2]}/metrics",
            second=f"http://{job.host}:{job.port}/predictions/second",
            grpc=f"torchserve://{job.host}:{job.ports[3]}/model",
            api=(f"http://{job.host}:{job.port}/", f"http://{job.host}:{job.ports[1]}/"),
        )


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    yield {"dependencies": lambda folder, version: pinned(job, folder, version)}


def pinned(job: Probing, folder: Path, version: str) -> str:
    """What a handler sees of the package that its archive asks for; TorchServe installs it as the model is loaded."""
    scratch, store = Path(job.scratch), Path(job.scratch, "store")
    store.mkdir()
    (scratch / "pinned.py").write_text(PINNED)
    (scratch / "requirements.txt").write_text(f"--no-index\n--find-links {folder}\n{wheels.NAME}=={version}\n")
    archive = [
        str(Path(sys.executable).with_name("torch-model-archiver")),
        "--model-name",
        "pinned",
        "--version",
        "1.0",
    ]
    archive += ["--handler", "pinned.py", "--requirements-file", "requirements.txt", "--export-path", str(store)]
    subprocess.run(archive, cwd=scratch, check=True)
    (scratch / "pinned.properties").write_text(
        addresses(job) + "default_workers_per_model=1\ninstall_py_dep_per_model=true\n"
    )
    command = [str(Path(sys.executable).with_name("torchserve")), "--start", "--foreground", "--ncs"]
    command += ["--disable-token-auth", "--model-store", "store", "--models", "pinned=pinned.mar"]
    with job.start([*command, "--ts-config", "pinned.properties"]) as server:
        return wait(f"http://{job.host}:{job.ports[0]}/predictions/pinned", server)
