# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "pyspark==4.3.0", "pandas==3.1.1", "pyarrow==26.0.1", "torch==2.13.0", "numpy==2.4.6", "scikit-learn==1.9.1",
#     "xgboost-cpu==3.2.0",
# ]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Spark"
# homepage = "https://spark.apache.org"
# devices = ["cpu", "cuda"]
# needs = ["java>=17"]
# ///
"""Spark: TorchDistributor, whose ranks are barrier tasks, and mapInPandas; in local mode or on a cluster."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks import libraries, tuning
from benchmarks.contract import Inference, Probing, RankLog, Training, Unsupported


def train(job: Training) -> Iterable[RankLog]:
    from pyspark.ml.torch.distributor import TorchDistributor

    cuda = job.device == "cuda"
    if cuda and not job.address:
        raise Unsupported("local mode schedules no GPUs: attach to a cluster whose workers declare them")
    code = str(job.archive())
    builder = (
        session(job.scratch, job.workers, job.address)
        .config("spark.task.cpus", "1")
        .config("spark.executor.cores", "1")
        .config("spark.cores.max", str(job.workers))
        .config("spark.submit.pyFiles", code)
        .config("spark.executorEnv.PYTHONPATH", code)
        .config("spark.executorEnv.OMP_NUM_THREADS", str(job.threads))
    )
    if cuda:
        builder = builder.config("spark.task.resource.gpu.amount", "1")
    spark = builder.getOrCreate()
    try:
        distributor = TorchDistributor(num_processes=job.workers, local_mode=False, use_gpu=cuda)
        return distributor.run(train_rank, job)
    finally:
        spark.stop()


def session(scratch: str, workers: int, address: str | None = None) -> Any:
    """The builder of a session, local or of the cluster, without pages and noise."""
    from pyspark.sql import SparkSession

    # Otherwise the workers take the first python on PATH.
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    builder = (
        SparkSession.builder.master(address or f"local[{workers}]")
        .appName("assay")
        .config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.local.dir", scratch)
        .config("spark.sql.warehouse.dir", f"{scratch}/warehouse")
    )
    if not address:
        builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    return builder


@contextlib.contextmanager
def infer(job: Inference) -> Iterator[Callable[[str], None]]:
    builder = session(job.scratch, job.workers, job.address).config(
        "spark.sql.execution.arrow.maxRecordsPerBatch", str(job.batch)
    )
    spark = builder.config("spark.submit.pyFiles", str(job.archive())).getOrCreate()

    def predict(frames: Iterator[Any]) -> Iterator[Any]:
        """Runs in every task: the model is loaded once for all batches of its partition."""
        import numpy as np
        import pandas as pd

        predictor = job.predictor()
        for frame in frames:
            y = predictor(np.stack(frame["x"].to_numpy())).reshape(len(frame), -1)
            yield pd.DataFrame({"row": frame["row"], "y": list(y)})

    try:
        yield (
            lambda target: (
                spark.read.parquet(job.source).mapInPandas(predict, "row long, y array<float>").write.parquet(target)
            )
        )
    finally:
        spark.stop()


def train_rank(job: Training) -> list[RankLog]:
    """Runs in every task; Spark returns what rank 0 returned, so rank 0 gathers the others' logs."""
    import torch.distributed
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.loop import bare_step

    if job.device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if job.device == "cuda" else "gloo")
    log = job.run(
        torch.distributed.get_rank(), lambda model, optimizer: bare_step(DistributedDataParallel(model), optimizer)
    )
    logs: list[RankLog] = [log] * job.workers
    torch.distributed.all_gather_object(logs, log)
    torch.distributed.destroy_process_group()
    return logs


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    builder = session(job.scratch, tuning.SLOTS)
    spark = builder.config("spark.executorEnv.PYTHONPATH", str(Path(benchmarks.__file__).parents[1])).getOrCreate()
    try:
        yield {"tune": Split(spark), "fit": {"xgboost": lambda *data: fit_xgboost(spark, *data)}}
    finally:
        spark.stop()


class Split:
    """MLlib's own search, over an estimator whose fit is a point's training in the driver."""

    def __init__(self, spark: Any) -> None:
        self.spark = spark

    def search(self, points: Sequence[tuning.Point], slots: int) -> int:
        from pyspark.ml import Estimator, Model
        from pyspark.ml.evaluation import Evaluator
        from pyspark.ml.param import Param
        from pyspark.ml.tuning import TrainValidationSplit
        from pyspark.sql.functions import lit

        class Fitted(Model):
            def __init__(self, point: tuning.Point) -> None:
                super().__init__()
                self.number, self.loss = point["number"], tuning.objective(point)

            def _transform(self, dataset: Any) -> Any:
                return dataset.withColumn("loss", lit(self.loss))

        class Training(Estimator):
            def __init__(self) -> None:
                super().__init__()
                self.number = Param(self, "number", "of the point")

            def _fit(self, dataset: Any) -> Any:
                return Fitted(points[self.getOrDefault(self.number)])

        class Loss(Evaluator):
            def _evaluate(self, dataset: Any) -> float:
                value: float = dataset.first()["loss"]
                return value

            def isLargerBetter(self) -> bool:  # noqa: N802, its name in Spark
                return False

        training = Training()
        grid: list[dict[Any, Any]] = [{training.number: index} for index in range(len(points))]
        split = TrainValidationSplit(
            estimator=training, estimatorParamMaps=grid, evaluator=Loss(), parallelism=slots, seed=1
        )
        return int(split.fit(self.spark.range(10)).bestModel.number)


def fit_xgboost(spark: Any, rows: Any, labels: Any, asked: Any, notes: str) -> Any:
    import pandas as pd
    from pyspark.ml.functions import array_to_vector
    from xgboost.spark import SparkXGBClassifier

    def frame(features: Any, **columns: Any) -> Any:
        table = spark.createDataFrame(pd.DataFrame({"x": features.tolist(), **columns}))
        return table.withColumn("features", array_to_vector("x"))

    model = libraries.xgboost(notes, SparkXGBClassifier, num_workers=tuning.SLOTS).fit(frame(rows, label=labels))
    found = model.transform(frame(asked, row=range(len(asked)))).orderBy("row").toPandas()
    return found["prediction"].to_numpy().astype("int64")
