# /// script
# requires-python = ">=3.11"
# dependencies = ["ray[train]==2.60.0", "torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Ray Train"
# homepage = "https://ray.io"
# devices = ["cpu", "cuda"]
# ///
"""Ray Train's TorchTrainer on a local or an existing Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks.contract import RankLog, Training

# Read by Ray when it is imported: the current generation of Ray Train, and no usage statistics sent home.
os.environ |= {"RAY_TRAIN_V2_ENABLED": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def train(job: Training) -> Iterable[RankLog]:
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    cuda = job.device == "cuda"
    if job.address:
        code = str(Path(benchmarks.__file__).parent)
        ray.init(address=job.address, runtime_env={"py_modules": [code]})
    else:
        # The temporary folder holds sockets, whose paths may not exceed 107 bytes.
        ray.init(num_cpus=job.workers, include_dashboard=False, _temp_dir=f"{job.scratch}/ray")
    resources = {"CPU": 1.0} | ({"GPU": 1.0} if cuda else {})
    trainer = TorchTrainer(
        train_rank,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(num_workers=job.workers, use_gpu=cuda, resources_per_worker=resources),
        torch_config=TorchConfig(backend="nccl" if cuda else "gloo"),
        run_config=RunConfig(storage_path=f"{job.scratch}/results"),
    )
    try:
        return trainer.fit().return_value
    finally:
        ray.shutdown()


def train_rank(config: dict[str, Any]) -> list[RankLog]:
    """Runs in every worker; Ray returns what rank 0 returned, so rank 0 gathers the others' logs."""
    import torch.distributed
    from ray.train import get_context
    from ray.train.torch import prepare_model

    from benchmarks.loop import bare_step

    def prepare(model: Any, optimizer: Any) -> Any:
        return bare_step(prepare_model(model, move_to_device=False), optimizer)

    job: Training = config["job"]
    log = job.run(get_context().get_world_rank(), prepare)
    logs = [log] * job.workers
    if job.workers > 1:
        torch.distributed.all_gather_object(logs, log)
    return logs
