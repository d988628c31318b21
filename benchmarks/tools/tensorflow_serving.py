# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "tensorflow-cpu==2.21.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "TensorFlow Serving"
# homepage = "https://www.tensorflow.org/tfx/guide/serving"
# devices = ["cpu"]
# needs = ["tensorflow_model_server"]
# settings = ["max_batch", "max_delay_ms"]
# ///
"""TensorFlow Serving: the perceptron as a SavedModel, with the very weights that the others load."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.contract import V1, Endpoint, Serving, Unsupported

PERCEPTRONS = ("digits-mlp", "table")


def package(job: Serving) -> None:
    """A SavedModel of version 1. TensorFlow Serving runs TensorFlow's graphs, so the model is built once more."""
    import numpy as np
    import tensorflow as tf

    if job.workload not in PERCEPTRONS:
        raise Unsupported(f"serves TensorFlow's graphs; only perceptrons ({', '.join(PERCEPTRONS)}) are built as such")
    paths = sorted(Path(job.model).glob("weight-layers.*.weight.npy"), key=lambda path: int(path.name.split(".")[1]))
    layers = [(np.load(path), np.load(str(path).replace(".weight.npy", ".bias.npy"))) for path in paths]

    class Perceptron(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [(tf.Variable(weight.T), tf.Variable(bias)) for weight, bias in layers]

        @tf.function(input_signature=[tf.TensorSpec([None, layers[0][0].shape[1]], tf.float32, name="x")])
        def predict(self, x: Any) -> Any:
            for weight, bias in self.layers[:-1]:
                x = tf.nn.relu(x @ weight + bias)
            weight, bias = self.layers[-1]
            return x @ weight + bias

    model = Perceptron()
    tf.saved_model.save(model, f"{job.scratch}/model/1", signatures={"serving_default": model.predict})
    if "max_batch" in job.settings:
        Path(job.scratch, "batching.txt").write_text(
            f"max_batch_size {{ value: {job.settings['max_batch']} }}\n"
            f"batch_timeout_micros {{ value: {int(job.settings.get('max_delay_ms', 0) * 1e3)} }}\n"
            f"num_batch_threads {{ value: {job.replicas} }}\n"
        )


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    if job.replicas != 1:
        raise Unsupported("one process holds a model once; its threads share it")
    command = [
        *("tensorflow_model_server", "--model_name=model", f"--model_base_path={job.scratch}/model"),
        *(f"--rest_api_port={job.port}", f"--port={job.ports[1]}"),
        *(f"--tensorflow_intra_op_parallelism={job.threads}", f"--tensorflow_inter_op_parallelism={job.threads}"),
    ]
    if "max_batch" in job.settings:
        command += ["--enable_batching=true", f"--batching_parameters_file={job.scratch}/batching.txt"]
    with job.start(command) as server:
        yield Endpoint(f"http://{job.host}:{job.port}/v1/models/model:predict", V1, process=server)
