# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "fastapi==0.165.0", "uvicorn==0.54.0", "torch==2.13.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "FastAPI and uvicorn"
# homepage = "https://fastapi.tiangolo.com"
# devices = ["cpu", "cuda"]
# settings = ["access_log"]
# ///
"""FastAPI under uvicorn: a thin application of our own, the baseline that every server is compared with."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import fastapi

from benchmarks.contract import V1, Endpoint, Serving


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:application"),
        *("--host", job.host, "--port", str(job.port), "--workers", str(job.replicas)),
        *([] if job.settings.get("access_log", True) else ["--no-access-log"]),
    ]
    with job.start(command) as server:
        yield Endpoint(f"http://{job.host}:{job.port}/predict", V1, process=server)


def application(predictor: Callable[[Any], Any] | None = None) -> fastapi.FastAPI:
    """What uvicorn runs; also for tools that have a model runtime and no server."""
    predict = predictor or Serving.from_environment().predictor()
    app = fastapi.FastAPI()

    @app.post("/predict")
    def answer(instances: Annotated[list[list[float]], fastapi.Body(embed=True)]) -> dict[str, Any]:
        return {"predictions": predict(instances).tolist()}

    return app
