# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "kserve==0.21.0", "torch==2.13.0", "numpy==2.4.6",
#     "scikit-learn==1.9.1", "onnx==1.23.2", "onnxruntime==1.32.0",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "KServe model server"
# homepage = "https://kserve.github.io/website"
# devices = ["cpu"]
# settings = ["framework", "protocol", "access_log"]
# ///
"""KServe's Python model server, alone: the cluster controller around it is not measured."""

import argparse
import contextlib
import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kserve

from benchmarks.contract import V2, Declined, Endpoint, Probing, Serving, v2_url


class Model(kserve.Model):
    def load(self) -> bool:
        self.predictor = Serving.from_environment().models[self.name].predictor()
        self.ready = True
        return True

    def __getstate__(self) -> dict[str, Any]:
        """With several workers each is sent the model; what was loaded stays behind."""
        return {name: value for name, value in self.__dict__.items() if name != "predictor"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self.load()

    def predict(self, payload: kserve.InferRequest, *_: Any, **__: Any) -> kserve.InferResponse:
        predictions = self.predictor(payload.inputs[0].as_numpy())
        output = kserve.InferOutput("y", list(predictions.shape), "FP32")
        output.set_data_from_numpy(predictions, binary_data=bool(payload.from_grpc))
        # A request without an id gets None, which the response's own validation then refuses.
        return kserve.InferResponse(payload.id or str(uuid.uuid4()), self.name, [output])


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(sys.executable, "-m", __name__, "--http_port", str(job.port), "--grpc_port", str(job.ports[1])),
        *("--workers", str(job.replicas)),
    ]
    if not job.settings.get("access_log", True):
        quiet = {"uvicorn.access": {"level": "WARNING"}, "kserve.trace": {"level": "WARNING"}}
        config = Path(job.scratch, "logging.json")
        config.write_text(json.dumps({"version": 1, "disable_existing_loggers": False, "loggers": quiet}))
        command += ["--log_config_file", str(config)]
    with job.start(command) as server:
        yield Endpoint(
            v2_url(job),
            V2,
            process=server,
            metrics=f"http://{job.host}:{job.port}/metrics",
            second=f"http://{job.host}:{job.port}/v2/models/second/infer",
            grpc=f"grpc://{job.host}:{job.ports[1]}/model",
            api=(f"http://{job.host}:{job.port}/openapi.json",),
        )


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    yield {"dependencies": Declined("the Python server has no command that packages a model with what it needs")}


def main() -> None:
    argparse.ArgumentParser(parents=[kserve.model_server.parser]).parse_known_args()
    models = [Model(name) for name in Serving.from_environment().models]
    for model in models:
        model.load()
    kserve.ModelServer().start(models)


if __name__ == "__main__":
    main()
