# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6", "accelerate==1.15.0", "scikit-learn==1.9.1"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "PyTorch DDP"
# homepage = "https://pytorch.org"
# devices = ["cpu", "cuda"]
# settings = ["micro_batches", "sharding"]
# ///
"""PyTorch DistributedDataParallel under torchrun: gloo on CPU, NCCL on CUDA."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import libraries
from benchmarks.contract import Probing, RankLog, Training
from benchmarks.pipelining import PipelinedStep
from benchmarks.sharding import ShardedStep


def train(job: Training) -> Iterable[RankLog]:
    # https://docs.pytorch.org/docs/stable/elastic/run.html: single-node, or a rendezvous that others hold.
    # A rendezvous that others hold closes with its job, so each job has a name of its own.
    name = Path(job.scratch).parent.name
    torchrun(job.workers, job.address or "localhost:0", name, "train", str(job.save()))
    return job.collect()


def torchrun(ranks: int, endpoint: str, name: str, *arguments: str) -> None:
    """This file as the script of every rank."""
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--nnodes", "1", "--nproc-per-node", str(ranks)),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint, "--rdzv-id", name),
            *("--module", __name__, *arguments),
        ],
        check=True,
    )


def prepare(model: Any, optimizer: Any) -> Any:
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.loop import bare_step

    return bare_step(DistributedDataParallel(model), optimizer)


def prepare_of(job: Training) -> Callable[[Any, Any], Any]:
    """DDP; FSDP2 where the parameters are to be sharded, too; a pipeline where the layers are."""
    if micro_batches := job.settings.get("micro_batches"):
        return functools.partial(PipelinedStep, micro_batches=micro_batches)
    return ShardedStep if job.settings.get("sharding") == "full" else prepare


def train_rank(saved: str) -> None:
    import torch.distributed

    job = Training.load(saved)
    if job.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if job.device == "cuda" else "gloo")
    job.deliver(job.run(torch.distributed.get_rank(), prepare_of(job)))
    torch.distributed.destroy_process_group()


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    yield {"fit": {"accelerate": functools.partial(fit_accelerate, job.scratch)}}


def fit_accelerate(scratch: str, rows: Any, labels: Any, asked: Any, notes: str) -> Any:
    """Hugging Face Accelerate, which wraps a model in DDP under torchrun."""

    def run(given: str) -> None:
        torchrun(2, "localhost:0", Path(given).parent.name, "fit", given, notes)

    return libraries.elsewhere(scratch, rows, labels, asked, run)


def fit_rank(given: str, notes: str) -> None:
    import numpy
    import torch
    from accelerate import Accelerator

    torch.set_num_threads(1)
    accelerator, arrays = Accelerator(cpu=True), numpy.load(given)
    predicted = libraries.Classifier(notes, accelerator).fit(arrays["rows"], arrays["labels"]).predict(arrays["asked"])
    if accelerator.is_main_process:
        libraries.leave(given, predicted)
    accelerator.free_memory()
    gc.collect()  # as after `Training.run`: the wrapped model goes before its process group does
    accelerator.end_training()


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train_rank(sys.argv[2])
    else:
        fit_rank(*sys.argv[2:])
