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
# ///
"""LitServe: a LitAPI, as its quickstart writes it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import litserve

from benchmarks.contract import Dialect, Endpoint, Serving


class Model(litserve.LitAPI):
    def setup(self, device: Any) -> None:
        self.predictor = Serving.from_environment().predictor()

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["input"]

    def predict(self, x: Any) -> Any:
        return self.predictor(x)

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"output": output.tolist()}


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    with job.start([sys.executable, "-m", __name__]) as server:
        yield Endpoint(f"http://{job.host}:{job.port}/predict", Dialect('{"input": $rows}', "output"), process=server)


def main() -> None:
    job = Serving.from_environment()
    server = litserve.LitServer(Model(), accelerator="cpu", workers_per_device=job.replicas)
    server.run(host=job.host, port=job.port, generate_client_file=False)


if __name__ == "__main__":
    main()
