# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "multi-model-server==1.1.11", "sagemaker-inference==1.10.1", "setuptools==80.10.2",
#     "torch==2.13.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "SageMaker: multi-model-server"
# homepage = "https://github.com/aws/sagemaker-inference-toolkit"
# devices = ["cpu"]
# needs = ["java>=11"]
# settings = ["access_log"]
# ///
"""SageMaker's inference toolkit on multi-model-server; the managed endpoints around it are not measured."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer

from benchmarks.contract import V1, Declined, Endpoint, Serving

# Nothing a request: neither the access log nor the metrics log.
QUIET = """\
<Configuration>
  <Appenders><Console name="console"><PatternLayout pattern="%d %p %c %m%n"/></Console></Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
"""


class Handler(DefaultInferenceHandler):
    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        return Serving.from_environment().models[Path(model_dir).name].predictor()

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        return json.loads(input_data)["instances"]

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        return model(data)

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> str:
        return json.dumps({"predictions": prediction.tolist()})


class Service(DefaultHandlerService):
    def __init__(self) -> None:
        super().__init__(transformer=Transformer(default_inference_handler=Handler()))


service = Service()


def handle(data: Any, context: Any) -> Any:
    """What multi-model-server calls, first without data so that the model is loaded."""
    if data is None:
        service.initialize(context)
        return None
    return service.handle(data, context)


def package(job: Serving) -> None:
    """A model store with a folder a model, and the server's configuration."""
    for name in job.models:
        Path(job.scratch, "store", name).mkdir(parents=True)
    Path(job.scratch, "config.properties").write_text(
        f"inference_address=http://{job.host}:{job.port}\n"
        f"management_address=http://{job.host}:{job.ports[1]}\n"
        f"default_workers_per_model={job.replicas}\n"
        "decode_input_request=false\n"
        f"default_service_handler={__file__}:handle\n"
        "preload_model=false\n"
        f"vmargs=-Djava.io.tmpdir={job.scratch}\n"
    )
    Path(job.scratch, "log4j2.xml").write_text(QUIET)


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    command = [
        *(str(Path(sys.executable).with_name("multi-model-server")), "--start", "--foreground"),
        *("--mms-config", "config.properties", "--model-store", "store"),
        *("--models", *(f"{name}={name}" for name in job.models)),
        *([] if job.settings.get("access_log", True) else ["--log-config", "log4j2.xml"]),
    ]
    with job.start(command) as server:
        yield Endpoint(
            f"http://{job.host}:{job.port}/predictions/model",
            V1,
            process=server,
            metrics=Declined("multi-model-server writes its metrics to its log, and has no page of them"),
            second=f"http://{job.host}:{job.port}/predictions/second",
            grpc=Declined("multi-model-server answers HTTP alone"),
        )
