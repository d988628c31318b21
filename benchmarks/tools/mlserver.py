# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "mlserver==1.7.1", "uvloop==0.21.0", "torch==2.13.0", "numpy==2.4.6",
#     "scikit-learn==1.9.1", "onnx==1.23.2", "onnxruntime==1.32.0",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "MLServer"
# homepage = "https://mlserver.readthedocs.io"
# devices = ["cpu"]
# settings = ["framework", "protocol", "max_batch", "max_delay_ms"]
# ///
"""MLServer (Seldon): a custom runtime behind the Open Inference Protocol.

Its pool of workers, which more replicas need, asks for an event loop in a way that uvloop refuses since 0.22.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.contract import V2, Endpoint, Serving, v2_url


class Runtime(MLModel):
    async def load(self) -> bool:
        self.predictor = Serving.from_environment().models[self.name].predictor()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("y", self.predictor(rows))
        return InferenceResponse(model_name=self.name, outputs=[output])


def package(job: Serving) -> None:
    """The folder that `mlserver start` is given: settings of the server, and a folder of each model."""
    folder = Path(job.scratch, "models")
    folder.mkdir()
    http, grpc, metrics, _ = job.ports
    settings = {
        "host": job.host,
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "debug": False,
        # Inference in the server's own process is what one replica is; more need its pool of workers.
        "parallel_workers": job.replicas if job.replicas > 1 else 0,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"implementation": f"{__name__}.Runtime"}
    if job.settings.get("max_batch", 1) > 1:
        model |= {
            "max_batch_size": job.settings["max_batch"],
            "max_batch_time": job.settings.get("max_delay_ms", 0) / 1e3,
        }
    for name in job.models:
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps({"name": name, **model}))


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    with job.start([str(Path(sys.executable).with_name("mlserver")), "start", "models"]) as server:
        yield Endpoint(
            v2_url(job),
            V2,
            process=server,
            metrics=f"http://{job.host}:{job.ports[2]}/metrics",
            second=f"http://{job.host}:{job.port}/v2/models/second/infer",
            grpc=f"grpc://{job.host}:{job.ports[1]}/model",
            api=(f"http://{job.host}:{job.port}/v2/docs/dataplane.json",),
        )
