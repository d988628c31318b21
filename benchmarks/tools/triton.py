# /// script
# requires-python = "==3.11.2"
# dependencies = [
#     "nvidia-pytriton==0.7.0", "torch==2.13.0", "numpy==1.26.4",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Triton through PyTriton"
# homepage = "https://triton-inference-server.github.io/pytriton"
# devices = ["cpu"]
# settings = ["protocol", "max_batch", "max_delay_ms"]
# ///
"""Triton Inference Server through PyTriton: its Python backend, as far as the wheel goes."""

# PyTriton bundles an interpreter's stub that fails with 3.11.7's standard library: the header asks for 3.11.2.
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.contract import V2, Endpoint, Serving, v2_url


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    variables = {"PYTRITON_HOME": f"{job.scratch}/pytriton"}
    # PyTriton takes its server and stubs down itself when it is interrupted; a signal to all races with that.
    with job.start([sys.executable, "-m", __name__], variables, signal.SIGINT, whole_group=False) as server:
        yield Endpoint(
            v2_url(job),
            V2,
            process=server,
            metrics=f"http://{job.host}:{job.ports[2]}/metrics",
            second=f"http://{job.host}:{job.port}/v2/models/second/infer",
            grpc=f"grpc://{job.host}:{job.ports[1]}/model",
        )


def main() -> None:
    job = Serving.from_environment()
    (_, rows, *features), (_, _, *outputs) = (
        np.load(f"{job.model}/{name}.npy", mmap_mode="r").shape for name in ("payloads", "golden")
    )
    # Triton counts rows, PyTriton's default is four; what one request holds has to fit.
    largest, delay = job.settings.get("max_batch", 4), int(job.settings.get("max_delay_ms", 0) * 1e3)

    def function(model: Serving) -> Any:
        predictor = model.predictor()

        @batch
        def infer(x: Any) -> dict[str, Any]:
            return {"y": predictor(x)}

        return infer

    http, grpc, metrics, _ = job.ports
    config = TritonConfig(
        http_address=job.host,
        http_port=http,
        grpc_address=job.host,
        grpc_port=grpc,
        metrics_address=job.host,
        metrics_port=metrics,
        allow_gpu_metrics=False,
    )
    with Triton(config=config) as triton:
        for name, model in job.models.items():
            triton.bind(
                model_name=name,
                infer_func=[function(model) for _ in range(job.replicas)],
                inputs=[Tensor(name="x", dtype=np.float32, shape=tuple(features))],
                outputs=[Tensor(name="y", dtype=np.float32, shape=tuple(outputs))],
                config=ModelConfig(max_batch_size=max(largest, rows), batcher=DynamicBatcher(delay)),
            )
        triton.serve()


if __name__ == "__main__":
    main()
