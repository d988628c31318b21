# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "torch==2.13.0", "numpy==2.4.6", "horovod==0.28.1",
#     "setuptools==80.10.2", "packaging==26.3", "cmake==3.31.10",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# no-build-isolation-package = ["horovod"]
#
# [[tool.uv.dependency-metadata]]
# name = "horovod"
# version = "0.28.1"
# requires-dist = ["cloudpickle", "psutil", "pyyaml", "packaging"]
#
# [tool.uv.extra-build-variables.horovod]
# HOROVOD_WITH_PYTORCH = "1"
# HOROVOD_WITHOUT_TENSORFLOW = "1"
# HOROVOD_WITHOUT_MXNET = "1"
# HOROVOD_WITH_GLOO = "1"
# HOROVOD_WITHOUT_MPI = "1"
# HOROVOD_CPU_OPERATIONS = "GLOO"
# MAKEFLAGS = "-j2"
# CMAKE_CXX_COMPILER_LAUNCHER = 'sh;-c;exec "$@" -std=c++20 -g0;c++'
# BUILT_FOR = "torch 2.13.0"
#
# [tool.assay]
# title = "Horovod"
# homepage = "https://horovod.ai"
# devices = ["cpu", "cuda"]
# needs = ["g++>=11", "make"]
# ///
"""Horovod: its own launcher and ring all-reduce, gloo on CPU."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training, Unsupported

# horovod.run() of 0.28.1 hands these on as "(None,)", which is read as 0: no cache of responses, and a thread
# that spins between cycles. Unset they take the documented defaults, as under horovodrun: 1024 and 1 ms.
MANGLED = ("HOROVOD_CACHE_CAPACITY", "HOROVOD_CYCLE_TIME")


def train(job: Training) -> Iterable[RankLog]:
    import horovod
    import horovod.torch

    if job.address:
        raise Unsupported("its launcher reaches hosts by ssh; there is no running cluster to attach to")
    if job.device == "cuda" and not horovod.torch.nccl_built():
        raise Unsupported("this build has no NCCL: gradients would go through the host")
    return horovod.run(train_rank, (job,), num_proc=job.workers, use_gloo=True)


def train_rank(job: Training) -> RankLog:
    import horovod.torch as hvd
    import torch

    from benchmarks.loop import bare_step

    for name in MANGLED:
        os.environ.pop(name, None)
    hvd.init()
    if job.device == "cuda":
        torch.cuda.set_device(hvd.local_rank())

    def prepare(model: Any, optimizer: Any) -> Any:
        hvd.broadcast_parameters(model.state_dict(), root_rank=0)
        distributed = hvd.DistributedOptimizer(optimizer, named_parameters=model.named_parameters(), op=hvd.Average)
        return bare_step(model, distributed)

    log = job.run(hvd.rank(), prepare)
    hvd.shutdown()
    return log
