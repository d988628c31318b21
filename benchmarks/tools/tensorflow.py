# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "tensorflow-cpu==2.21.0", "tf-keras==2.21.0", "scikit-learn==1.9.1", "torch==2.13.0", "numpy==2.4.6",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Distributed TensorFlow"
# homepage = "https://www.tensorflow.org"
# devices = ["cpu"]
# ///
"""TensorFlow's MultiWorkerMirroredStrategy, under a custom training loop and under Keras: a process a worker.

https://www.tensorflow.org/tutorials/distribute/multi_worker_with_ctl. The model is the workload's own in TensorFlow,
from the same weights; torch holds the batches and what is evaluated, outside the timed step but for the hand-over.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from benchmarks import libraries
from benchmarks.contract import Probing, RankLog, Training, Unsupported
from benchmarks.loop import load_workload

POLL_S = 0.1


def train(job: Training) -> Iterable[RankLog]:
    if job.address:
        raise Unsupported("its workers are named in TF_CONFIG at their start; there is no running cluster to attach to")
    if not hasattr(load_workload(job.workload), "build_tensorflow"):
        raise Unsupported(f"the workload {job.workload} has no model in TensorFlow")
    run_workers(job.workers, {}, "train", str(job.save()))
    return job.collect()


def run_workers(count: int, variables: Mapping[str, str], *arguments: str) -> None:
    """This file as a script in `count` workers that know of each other; raises where one of them fails.

    Each worker's gRPC server listens on all addresses: TensorFlow has no setting for it.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for index in range(count):
            place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            own = {"TF_CONFIG": json.dumps(place), "TF_CPP_MIN_LOG_LEVEL": "1", **variables}
            command = [sys.executable, "-m", __name__, *arguments]
            workers.append(subprocess.Popen(command, env={**os.environ, **own}))
        while (codes := [worker.poll() for worker in workers]) != [0] * count:
            if wrong := next(filter(None, codes), None):
                raise subprocess.CalledProcessError(wrong, [__name__, *arguments])
            time.sleep(POLL_S)
    finally:
        for worker in workers:
            worker.kill()  # one whose peer has failed waits for it
            worker.wait()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


class MirroredStep:
    """Forward, backward, all-reduce and update as one graph, over variables that every worker holds."""

    def __init__(self, strategy: Any, loss: Any, model: Any, settings: dict[str, Any]) -> None:
        import tensorflow as tf

        with strategy.scope():
            self.weights = {
                name: tf.Variable(value.detach().numpy(), name=name.replace(".", "/"))
                for name, value in model.named_parameters()
            }
            variables = list(self.weights.values())
            self.optimizer = tf.keras.optimizers.SGD(settings["lr"], settings["momentum"])
            self.optimizer.build(variables)
        self.model = model

        def step(inputs: Any, targets: Any) -> Any:
            with tf.GradientTape() as tape:
                part = loss(self.weights, inputs, targets)
                share = part / strategy.num_replicas_in_sync  # gradients are summed over the workers
            # Dense, also for an embedding: momentum moves rows that a batch does not name.
            gradients = [tf.convert_to_tensor(one) for one in tape.gradient(share, variables)]
            self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return part

        @tf.function
        def everywhere(inputs: Any, targets: Any) -> Any:
            return strategy.run(step, args=(inputs, targets))

        self.step = everywhere

    def __call__(self, inputs: Any, targets: Any) -> Any:
        import torch

        return torch.tensor(self.step(inputs.numpy(), targets.numpy()).numpy())

    def effective_config(self) -> dict[str, Any]:
        variables = self.weights.values()
        return {
            "lr": round(float(self.optimizer.learning_rate.numpy()), 7),  # kept as a float32
            "momentum": self.optimizer.momentum,
            "nesterov": self.optimizer.nesterov,
            "weight_decay": self.optimizer.weight_decay or 0.0,
            "precision": "/".join({variable.dtype.name for variable in variables}),
        }

    def write_back(self) -> None:
        import torch

        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(torch.from_numpy(self.weights[name].numpy()))


def mirrored(threads: int) -> Any:
    """The strategy; it has to be there before any operation of TensorFlow."""
    import tensorflow as tf

    # Threads between operations are left to TensorFlow: one waits in a collective while others work.
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    ring = tf.distribute.experimental.CommunicationImplementation.RING
    options = tf.distribute.experimental.CommunicationOptions(implementation=ring)
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def train_rank(saved: str) -> None:
    job = Training.load(saved)
    strategy = mirrored(job.threads)
    rank = strategy.cluster_resolver.task_id
    loss = load_workload(job.workload).build_tensorflow(job.options)
    job.deliver(job.run(rank, lambda model, optimizer: MirroredStep(strategy, loss, model, job.optimizer)))


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # before TensorFlow is imported
    yield {"fit": {"keras": functools.partial(fit_keras, job.scratch)}}


def fit_keras(scratch: str, rows: Any, labels: Any, asked: Any, notes: str) -> Any:
    """Keras' own `fit` under the strategy, by two workers that each take a part of every batch.

    Keras 2, as tf-keras: `fit` of Keras 3 refuses more than one worker ("PerReplica cannot convert to Tensor").
    """

    def run(given: str) -> None:
        run_workers(2, {"TF_USE_LEGACY_KERAS": "1"}, "fit", given, notes)

    return libraries.elsewhere(scratch, rows, labels, asked, run)


def fit_rank(given: str, notes: str) -> None:
    import numpy

    strategy = mirrored(1)
    arrays = numpy.load(given)
    with strategy.scope():
        network = libraries.Network(notes)
    predicted = network.fit(arrays["rows"], arrays["labels"]).predict(arrays["asked"])
    if strategy.cluster_resolver.task_id == 0:
        libraries.leave(given, predicted)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train_rank(*sys.argv[2:])
    else:
        fit_rank(*sys.argv[2:])
