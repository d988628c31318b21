# /// script
# requires-python = "==3.11.*"
# dependencies = [
#     "torch==2.13.0", "numpy==2.4.6", "horovod==0.28.1", "ray[tune]==2.60.0",
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
"""Horovod: its own launcher and ring all-reduce, gloo on CPU; its executor on Ray for searches by Ray Tune."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks import tuning
from benchmarks.contract import Probing, RankLog, Training, Unsupported

# horovod.run() of 0.28.1 hands these on as "(None,)", which is read as 0: no cache of responses, and a thread
# that spins between cycles. Unset they take the documented defaults, as under horovodrun: 1024 and 1 ms.
MANGLED = ("HOROVOD_CACHE_CAPACITY", "HOROVOD_CYCLE_TIME")

RANKS = 2  # of a trial of Ray Tune


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


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before Ray is imported
    import ray

    ray.init(
        num_cpus=RANKS * tuning.SLOTS,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=f"{job.scratch}/r",
        _node_ip_address="127.0.0.1",
    )
    try:
        yield {"tune": Tune(job)}
    finally:
        ray.shutdown()


class Tune:
    """Trials of Ray Tune that hold Horovod's executor: what `ray.tune.integration.horovod` did until Ray 2.0."""

    def __init__(self, job: Probing) -> None:
        self.job = job

    def search(self, points: Sequence[tuning.Point], slots: int) -> int:
        from horovod.ray import RayExecutor
        from ray import tune

        class Trial(tune.Trainable):
            @classmethod
            def default_resource_request(cls, config: Any) -> Any:
                return tune.PlacementGroupFactory([{"CPU": 0}] + [{"CPU": 1}] * RANKS)

            def setup(self, config: Any) -> None:
                self.point = config["point"]
                settings = RayExecutor.create_settings(timeout_s=60)
                self.executor = RayExecutor(settings, num_workers=RANKS, cpus_per_worker=1, use_gpu=False)
                self.executor.start()

            def reset_config(self, config: Any) -> bool:
                self.point = config["point"]
                return True

            def step(self) -> dict[str, Any]:
                return {"loss": self.executor.run(evaluate, args=[self.point])[0], "done": True}

            def save_checkpoint(self, folder: str) -> dict[str, Any]:
                return {}

            def cleanup(self) -> None:
                self.executor.shutdown()

        tuner = tune.Tuner(
            Trial,
            param_space={"point": tune.grid_search(list(points))},
            tune_config=tune.TuneConfig(metric="loss", mode="min", max_concurrent_trials=slots, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=f"{self.job.scratch}/results",
                verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        number: int = tuner.fit().get_best_result().config["point"]["number"]
        return number


def evaluate(point: tuning.Point) -> float:
    """Runs in every rank of a trial, which lives on for the next point."""
    import horovod.torch as hvd

    for name in MANGLED:
        os.environ.pop(name, None)
    if not hvd.is_initialized():
        hvd.init()
    return tuning.objective(point, Ranks())


class Ranks:
    """Horovod's, as `tuning.objective` asks for them."""

    def __init__(self) -> None:
        import horovod.torch as hvd

        self.rank, self.count = hvd.rank(), hvd.size()
        if self.count != RANKS:
            raise RuntimeError(f"{self.count} ranks instead of {RANKS}")

    def wrap(self, optimizer: Any, named: Sequence[tuple[str, Any]]) -> Any:
        import horovod.torch as hvd

        return hvd.DistributedOptimizer(optimizer, named_parameters=named, op=hvd.Average)

    def mean(self, loss: Any) -> Any:
        import horovod.torch as hvd

        return hvd.allreduce(loss, op=hvd.Average)
