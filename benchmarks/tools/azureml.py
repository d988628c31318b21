# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "azureml-inference-server-http==1.5.1", "torch==2.13.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Azure ML inference server"
# homepage = "https://learn.microsoft.com/azure/machine-learning"
# devices = ["cpu"]
# settings = ["access_log"]
# ///
"""Azure ML's inference HTTP server with an entry script; the managed endpoints around it are not measured."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.contract import Declined, Dialect, Endpoint, Serving

predict: Callable[[Any], Any]


def init() -> None:
    """Called once by the server, as its entry script's contract asks."""
    global predict
    predict = Serving.from_environment().predictor()


def run(raw_data: str) -> dict[str, Any]:
    """Called by the server for each request."""
    return {"predictions": predict(json.loads(raw_data)["data"]).tolist()}


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(str(Path(sys.executable).with_name("azmlinfsrv")), "--entry_script", __file__),
        *("--port", str(job.port), "--worker_count", str(job.replicas)),
    ]
    if not job.settings.get("access_log", True):
        # Read by every worker from the folder that the server is started in.
        quiet = {name: {"level": "WARNING"} for name in ("azmlinfsrv", "gunicorn.access")}
        config = {"version": 1, "disable_existing_loggers": False, "loggers": quiet}
        Path(job.scratch, "logging.json").write_text(json.dumps(config))
    with job.start(command) as server:
        yield Endpoint(
            f"http://{job.host}:{job.port}/score",
            Dialect('{"data": $rows}', "predictions"),
            process=server,
            metrics=Declined("the inference server has no metrics page"),
            second=Declined("one entry script behind one route: a model has no route of its own"),
            grpc=Declined("the inference server answers HTTP alone"),
        )
