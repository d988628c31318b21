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
# devices = ["cpu"]
# settings = ["access_log", "max_batch", "max_delay_ms"]
# ///
"""LitServe: a LitAPI, as its quickstart writes it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import litserve

from benchmarks.contract import Dialect, Endpoint, Serving, together


class Model(litserve.LitAPI):
    def setup(self, device: Any) -> None:
        self.predictor = Serving.from_environment().predictor()

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
        yield Endpoint(f"http://{job.host}:{job.port}/predict", Dialect('{"input": $rows}', "output"), process=server)


def main() -> None:
    job = Serving.from_environment()
    settings = job.settings
    model = Model(max_batch_size=settings.get("max_batch", 1), batch_timeout=settings.get("max_delay_ms", 0) / 1e3)
    server = litserve.LitServer(model, accelerator="cpu", workers_per_device=job.replicas)
    access_log = settings.get("access_log", True)
    server.run(host=job.host, port=job.port, generate_client_file=False, access_log=access_log)


if __name__ == "__main__":
    main()
