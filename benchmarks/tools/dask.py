# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "dask[dataframe]==2026.8.0", "distributed==2026.8.0", "pandas==3.1.1", "pyarrow==26.0.1",
#     "dask-ml==2025.1.0", "torch==2.13.0", "numpy==2.4.6", "scikit-learn==1.9.1", "xgboost-cpu==3.2.0",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Dask"
# homepage = "https://distributed.dask.org"
# devices = ["cpu", "cuda"]
# settings = ["malloc_trim", "sharding"]
# ///
"""Dask: ranks of DistributedDataParallel as pinned tasks, one a worker; data frames for batch inference."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks import libraries, tuning
from benchmarks.contract import Inference, Probing, RankLog, Training, Unsupported

WORKERS_S = 60


def train(job: Training) -> Iterable[RankLog]:
    import dask
    from distributed import Client

    if job.settings.get("malloc_trim") == "unset" and not job.address:
        # The nanny exports MALLOC_TRIM_THRESHOLD_ to its workers, which slows allocation-heavy steps.
        # None removes it; leaving the key out would merge and keep it.
        dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None})
    if job.address:
        if "malloc_trim" in job.settings:
            raise Unsupported("settings of the nanny belong to whoever started the cluster")
        with Client(job.address) as client:
            client.upload_file(str(job.archive()))
            return run_ranks(client, job)
    with local_cluster(job.scratch, job.workers) as cluster, Client(cluster) as client:
        return run_ranks(client, job)


def local_cluster(scratch: str, workers: int) -> Any:
    """Processes of one thread each, without pages and without limits of memory."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        memory_limit=0,
        local_directory=scratch,
    )


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
    from benchmarks.sharding import ShardedStep

    os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(job.workers)}
    torch.distributed.init_process_group("nccl" if job.device == "cuda" else "gloo")
    try:
        if job.settings.get("sharding") == "full":  # Dask places ranks, and leaves the model to torch
            return job.run(rank, ShardedStep)
        return job.run(rank, lambda model, optimizer: bare_step(DistributedDataParallel(model), optimizer))
    finally:
        torch.distributed.destroy_process_group()


@contextlib.contextmanager
def infer(job: Inference) -> Iterator[Callable[[str], None]]:
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa
    from distributed import Client

    with contextlib.ExitStack() as stack:
        if job.address:
            client = stack.enter_context(Client(job.address))
            client.upload_file(str(job.archive()))
        else:
            cluster = stack.enter_context(local_cluster(job.scratch, job.workers))
            client = stack.enter_context(Client(cluster))
        client.wait_for_workers(job.workers, timeout=WORKERS_S)
        schema = pa.schema({"row": pa.int64(), "y": pa.list_(pa.float32())})
        meta = pd.DataFrame({"row": pd.Series(dtype="int64"), "y": pd.Series(dtype="object")})

        def one_pass(target: str) -> None:
            frame = dd.read_parquet(job.source).map_partitions(predict_frame, job, meta=meta)
            # The whole schema: a part would have the rest inferred, from objects that are none of ours.
            frame.to_parquet(target, write_index=False, schema=schema)

        yield one_pass


def predict_frame(frame: Any, job: Inference) -> Any:
    """A partition's predictions, with the model kept on the worker between partitions."""
    import numpy as np
    import pandas as pd
    from distributed import get_worker

    worker = get_worker()
    if not hasattr(worker, "predictor"):
        worker.predictor = job.predictor()
    rows = np.stack(frame["x"].to_numpy())
    y = [worker.predictor(rows[first : first + job.batch]) for first in range(0, len(rows), job.batch)]
    return pd.DataFrame({"row": frame["row"].to_numpy(), "y": list(np.concatenate(y).reshape(len(rows), -1))})


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    from distributed import Client

    with local_cluster(job.scratch, tuning.SLOTS) as cluster, Client(cluster) as client:
        fits = {"scikit-learn": fit_scikit_learn, "xgboost": lambda *data: fit_xgboost(client, *data)}
        yield {"tune": Futures(job), "early": hyperband, "fit": fits}


class Futures:
    """A grid by futures, on a cluster of as many workers as there are slots."""

    def __init__(self, job: Probing) -> None:
        self.job = job

    def search(self, points: Sequence[tuning.Point], slots: int) -> int:
        from distributed import Client

        with local_cluster(self.job.scratch, slots) as cluster, Client(cluster) as client:
            losses = client.gather(client.map(tuning.objective, points, pure=False))
        return int(min(zip(losses, points, strict=True), key=lambda pair: pair[0])[1]["number"])


def hyperband(rows: Any, labels: Any) -> tuple[float, int, Sequence[int]]:
    """https://ml.dask.org/hyper-parameter-search.html, on the client of this process."""
    import dask.array as da
    from dask_ml.model_selection import HyperbandSearchCV
    from sklearn.linear_model import SGDClassifier

    asked = {"alpha": [10**power for power in range(-6, 1)], "l1_ratio": [0.0, 0.25, 0.5, 0.75, 1.0]}
    model = SGDClassifier(penalty="elasticnet", random_state=0)
    search = HyperbandSearchCV(model, asked, max_iter=9, random_state=0)
    chunk = -(-len(rows) // 4)
    try:
        search.fit(da.from_array(rows, (chunk, -1)), da.from_array(labels, chunk), classes=list(range(10)))
    except RuntimeError as fault:
        if "asynchronous Client" not in str(fault):
            raise
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("dask-ml", "dask"))
        raise Unsupported(f"{fault} ({versions})") from fault
    calls = [history[-1]["partial_fit_calls"] for history in search.model_history_.values()]
    return search.best_score_, search.cv_results_["partial_fit_calls"][search.best_index_], calls


def fit_scikit_learn(rows: Any, labels: Any, asked: Any, notes: str) -> Any:
    import joblib

    with joblib.parallel_config(backend="dask"):
        return libraries.scikit_learn(notes).fit(rows, labels).predict(asked)


def fit_xgboost(client: Any, rows: Any, labels: Any, asked: Any, notes: str) -> Any:
    import dask.array as da
    from xgboost.dask import DaskXGBClassifier

    chunk = -(-len(rows) // tuning.SLOTS)
    model = libraries.xgboost(notes, DaskXGBClassifier)
    model.client = client
    model.fit(da.from_array(rows, (chunk, -1)), da.from_array(labels, chunk))
    return model.predict(da.from_array(asked, (len(asked), -1))).compute()
