# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
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

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.contract import RankLog, Training
from benchmarks.pipelining import PipelinedStep
from benchmarks.sharding import ShardedStep


def train(job: Training) -> Iterable[RankLog]:
    # https://docs.pytorch.org/docs/stable/elastic/run.html: single-node, or a rendezvous that others hold.
    endpoint = job.address or "localhost:0"
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--nnodes", "1", "--nproc-per-node", str(job.workers)),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint),
            # A rendezvous that others hold closes with its job, so each job has a name of its own.
            *("--rdzv-id", Path(job.scratch).parent.name),
            *("--module", __name__, str(job.save())),
        ],
        check=True,
    )
    return job.collect()


def prepare(model: Any, optimizer: Any) -> Any:
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.loop import bare_step

    return bare_step(DistributedDataParallel(model), optimizer)


def prepare_of(job: Training) -> Callable[[Any, Any], Any]:
    """DDP; FSDP2 where the parameters are to be sharded, too; a pipeline where the layers are."""
    if micro_batches := job.settings.get("micro_batches"):
        return functools.partial(PipelinedStep, micro_batches=micro_batches)
    return ShardedStep if job.settings.get("sharding") == "full" else prepare


def main() -> None:
    """The script that torchrun starts in every rank."""
    import torch.distributed

    job = Training.load(sys.argv[1])
    if job.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if job.device == "cuda" else "gloo")
    job.deliver(job.run(torch.distributed.get_rank(), prepare_of(job)))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
