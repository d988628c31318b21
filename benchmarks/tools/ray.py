# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "ray[data,serve,train,tune]==2.60.0", "torch==2.13.0", "numpy==2.4.6", "scikit-learn==1.9.1",
#     "xgboost-cpu==3.2.0",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Ray"
# homepage = "https://ray.io"
# devices = ["cpu", "cuda"]
# settings = ["access_log", "max_batch", "max_delay_ms", "most_replicas", "sharding"]
# ///
"""Ray Train's TorchTrainer on a local or an existing Ray cluster, Ray Data and Ray Serve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks import libraries, tuning
from benchmarks.contract import V1, Endpoint, Inference, Probing, RankLog, Serving, Training, together

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
        ray.init(**local_node(job.scratch, job.workers))
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
    from benchmarks.sharding import ShardedStep

    def prepare(model: Any, optimizer: Any) -> Any:
        return bare_step(prepare_model(model, move_to_device=False), optimizer)

    job: Training = config["job"]
    # Ray Train launches the ranks and their process group; FSDP2 inside is the user's, as its documentation has it.
    sharded = job.settings.get("sharding") == "full"
    log = job.run(get_context().get_world_rank(), ShardedStep if sharded else prepare)
    logs = [log] * job.workers
    if job.workers > 1:
        torch.distributed.all_gather_object(logs, log)
    return logs


@contextlib.contextmanager
def infer(job: Inference) -> Iterator[Callable[[str], None]]:
    import numpy as np
    import ray

    if job.address:
        ray.init(address=job.address, runtime_env={"py_modules": [str(Path(benchmarks.__file__).parent)]})
    else:
        # One more than the models take: reading and writing are tasks of their own.
        ray.init(**local_node(job.scratch, 1 + job.workers), log_to_driver=False)

    class Predict:
        def __init__(self) -> None:
            self.predictor = job.predictor()

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            rows = np.stack(list(batch["x"]))
            return {"row": batch["row"], "y": self.predictor(rows).reshape(len(rows), -1)}

    def one_pass(target: str) -> None:
        models = {"concurrency": job.workers, "num_cpus": 1, "num_gpus": 1 if job.device == "cuda" else 0}
        data = ray.data.read_parquet(job.source)
        data.map_batches(Predict, batch_size=job.batch, **models).write_parquet(target)

    try:
        yield one_pass
    finally:
        ray.shutdown()


def local_node(scratch: str, cpus: int) -> dict[str, Any]:
    """A node of this trial's own. Its folder holds sockets, whose paths may not exceed 107 bytes."""
    return {"num_cpus": cpus, "include_dashboard": False, "_temp_dir": f"{scratch}/ray"}


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    # The driver shuts the whole node down; a signal to all would end it in the middle of that.
    with job.start([sys.executable, "-m", __name__], whole_group=False) as server:
        yield Endpoint(
            f"http://{job.host}:{job.port}/predict",
            V1,
            process=server,
            second=f"http://{job.host}:{job.port}/second",
        )


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    import ray

    # Twice the slots: beside a trainer's workers, reading its data set is tasks of their own.
    ray.init(**local_node(job.scratch, 2 * tuning.SLOTS), _node_ip_address=job.host, log_to_driver=False)
    try:
        fits = {"scikit-learn": fit_scikit_learn, "xgboost": lambda *data: fit_xgboost(job, *data)}
        yield {"tune": Tune(job), "fit": fits}
    finally:
        ray.shutdown()


class Tune:
    def __init__(self, job: Probing) -> None:
        self.job = job

    def search(self, points: Sequence[tuning.Point], slots: int) -> int:
        from ray import tune

        tuner = tune.Tuner(
            lambda config: {"loss": tuning.objective(config["point"])},
            param_space={"point": tune.grid_search(list(points))},
            tune_config=tune.TuneConfig(metric="loss", mode="min", max_concurrent_trials=slots, reuse_actors=True),
            run_config=tune.RunConfig(storage_path=f"{self.job.scratch}/results", verbose=0),
        )
        number: int = tuner.fit().get_best_result().config["point"]["number"]
        return number


def fit_scikit_learn(rows: Any, labels: Any, asked: Any, notes: str) -> Any:
    import joblib
    from ray.util.joblib import register_ray

    register_ray()
    with joblib.parallel_config(backend="ray", n_jobs=tuning.SLOTS):
        return libraries.scikit_learn(notes).fit(rows, labels).predict(asked)


def fit_xgboost(job: Probing, rows: Any, labels: Any, asked: Any, notes: str) -> Any:
    import pandas as pd
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.xgboost import RayTrainReportCallback, XGBoostTrainer

    frame = pd.DataFrame(rows).add_prefix("f").assign(label=labels)
    parameters = libraries.xgboost(notes).get_xgb_params() | {"objective": "multi:softmax", "num_class": 10}
    trainer = XGBoostTrainer(
        boost,
        train_loop_config={"notes": notes, "parameters": parameters},
        scaling_config=ScalingConfig(num_workers=tuning.SLOTS, resources_per_worker={"CPU": 1}),
        datasets={"train": ray.data.from_pandas(frame)},
        run_config=RunConfig(storage_path=f"{job.scratch}/results"),
    )
    import xgboost

    model = RayTrainReportCallback.get_model(trainer.fit().checkpoint)
    return model.predict(xgboost.DMatrix(pd.DataFrame(asked).add_prefix("f"))).astype("int64")


def boost(config: dict[str, Any]) -> None:
    """Runs in every worker of the trainer, each with its part of the rows."""
    import ray.train
    import xgboost
    from ray.train.xgboost import RayTrainReportCallback

    frame = ray.train.get_dataset_shard("train").materialize().to_pandas()
    data = xgboost.DMatrix(frame.drop(columns="label"), frame["label"])
    callbacks = [RayTrainReportCallback(), libraries.noting(config["notes"])]
    xgboost.train(config["parameters"], data, libraries.ROUNDS, callbacks=callbacks)


def main() -> None:
    """The driver of Ray Serve: a node, a proxy and the deployment, until it is told to stop."""
    import ray
    from ray import serve as ray_serve
    from starlette.requests import Request

    job = Serving.from_environment()
    settings, largest = job.settings, job.settings.get("max_batch", 1)
    most = settings.get("most_replicas", job.replicas)
    part = 1 / (most * len(job.models))
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())

    class Model:
        def __init__(self, name: str) -> None:
            self.predictor = Serving.from_environment().models[name].predictor()

        async def __call__(self, request: Request) -> dict[str, Any]:
            rows = (await request.json())["instances"]
            # In a thread, as Ray's guide to asyncio asks of what computes: the loop stays free for other requests.
            predict = self.predict_batch(rows) if largest > 1 else asyncio.to_thread(self.predictor, rows)
            return {"predictions": (await predict).tolist()}

        @ray_serve.batch(max_batch_size=largest, batch_wait_timeout_s=settings.get("max_delay_ms", 0) / 1e3)
        async def predict_batch(self, requests: list[Any]) -> list[Any]:
            return await asyncio.to_thread(together, self.predictor, requests)

    ray.init(**local_node(job.scratch, 1 + most), _node_ip_address=job.host)
    try:
        logging = {"enable_access_log": settings.get("access_log", True)}
        ray_serve.start(http_options={"host": job.host, "port": job.port}, logging_config=logging)
        deployment = ray_serve.deployment(
            **scale(job),
            # On a GPU the replicas of all models share it; without asking for a part they would not see it.
            ray_actor_options={"num_cpus": 0.2, "num_gpus": part if job.device == "cuda" else 0},
            # A replica takes five requests at a time by default; no batch could be larger.
            max_ongoing_requests=max(5, 2 * largest),
            logging_config=logging,
        )(Model)
        for name in job.models:
            route = "/predict" if name == "model" else f"/{name}"
            ray_serve.run(deployment.bind(name), name=name, route_prefix=route)
        stopped.wait()
        ray_serve.shutdown()
    finally:
        ray.shutdown()


def scale(job: Serving) -> dict[str, Any]:
    """A fixed number of replicas, or one to `most_replicas` by the requests under way, with Ray's own target.

    Its own delays are cut, since a trial shows whether it scales and not how patiently: 30 s before a replica is added,
    600 s before one is taken away, 10 s between reports (deprecated, and what this version reads), averaged over 30 s.
    """
    if "most_replicas" not in job.settings:
        return {"num_replicas": job.replicas}
    delays = {"upscale_delay_s": 1, "downscale_delay_s": 2, "metrics_interval_s": 0.5, "look_back_period_s": 1}
    return {"autoscaling_config": {"min_replicas": 1, "max_replicas": job.settings["most_replicas"], **delays}}


if __name__ == "__main__":
    main()
