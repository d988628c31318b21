# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "litserve==0.2.19", "torch==2.13.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "LitServe"
# homepage = "https://lightning.ai/litserve"
# devices = ["cpu", "cuda"]
# settings = ["access_log", "max_batch", "max_delay_ms"]
# ///
"""LitServe: a LitAPI, as its quickstart writes it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import litserve

from benchmarks.contract import Declined, Dialect, Endpoint, Serving, together


class Model(litserve.LitAPI):
    def setup(self, device: Any) -> None:
        name = "second" if self.api_path == "/second" else "model"
        self.predictor = Serving.from_environment().models[name].predictor()

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["input"]

    def predict(self, x: Any) -> Any:
        return together(self.predictor, x) if self.max_batch_size > 1 else self.predictor(x)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"output": output.tolist()}


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    with job.start([sys.executable, "-m", __name__]) as server:
        yield Endpoint(
            f"http://{job.host}:{job.port}/predict",
            Dialect('{"input": $rows}', "output"),
            process=server,
            metrics=Declined("no metrics page: a Logger of the user's own may mount one"),
            second=f"http://{job.host}:{job.port}/second",
            grpc=Declined("LitServer is a FastAPI application: HTTP alone"),
        )


def main() -> None:
    job = Serving.from_environment()
    settings = job.settings
    paths = {"model": "/predict", "second": "/second"}
    delay = settings.get("max_delay_ms", 0) / 1e3
    models = [
        Model(max_batch_size=settings.get("max_batch", 1), batch_timeout=delay, api_path=paths[name])
        for name in job.models
    ]
    served = models if len(models) > 1 else models[0]
    server = litserve.LitServer(served, accelerator=job.device, devices=1, workers_per_device=job.replicas)
    access_log = settings.get("access_log", True)
    server.run(host=job.host, port=job.port, generate_client_file=False, access_log=access_log)


if __name__ == "__main__":
    main()
