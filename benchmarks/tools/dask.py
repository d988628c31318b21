# /// script
# requires-python = ">=3.11"
# dependencies = ["dask==2026.8.0", "distributed==2026.8.0", "torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Dask"
# homepage = "https://distributed.dask.org"
# devices = ["cpu", "cuda"]
# ///
"""Dask: one pinned task a worker, each a rank of plain DistributedDataParallel."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training, Unsupported

WORKERS_S = 60


def train(job: Training) -> Iterable[RankLog]:
    import dask
    from distributed import Client, LocalCluster

    if job.settings.get("malloc_trim") == "unset" and not job.address:
        # The nanny exports MALLOC_TRIM_THRESHOLD_ to its workers, which slows allocation-heavy steps.
        # None removes it; leaving the key out would merge and keep it.
        dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None})
    if job.address:
        if job.settings:
            raise Unsupported("settings of the nanny belong to whoever started the cluster")
        with Client(job.address) as client:
            client.upload_file(str(job.archive()))
            return run_ranks(client, job)
    with (
        LocalCluster(
            n_workers=job.workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=0,
            local_directory=job.scratch,
        ) as cluster,
        Client(cluster) as client,
    ):
        return run_ranks(client, job)


def run_ranks(client: Any, job: Training) -> list[RankLog]:
    try:
        client.wait_for_workers(job.workers, timeout=WORKERS_S)
    except TimeoutError as fault:
        raise Unsupported(f"the cluster does not have {job.workers} workers after {WORKERS_S} s") from fault
    workers = sorted(client.scheduler_info(n_workers=-1)["workers"])[: job.workers]
    host = workers[0].split("://")[1].rsplit(":", 1)[0]
    port = client.submit(free_port, workers=[workers[0]], pure=False).result()
    futures = [
        client.submit(
            train_rank, job, rank, host, port, workers=[worker], allow_other_workers=False, pure=False, retries=0
        )
        for rank, worker in enumerate(workers)
    ]
    return client.gather(futures)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def train_rank(job: Training, rank: int, host: str, port: int) -> RankLog:
    import torch.distributed
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.loop import bare_step

    os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(job.workers)}
    torch.distributed.init_process_group("nccl" if job.device == "cuda" else "gloo")
    try:
        return job.run(rank, lambda model, optimizer: bare_step(DistributedDataParallel(model), optimizer))
    finally:
        torch.distributed.destroy_process_group()
