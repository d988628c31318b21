# /// script
# requires-python = ">=3.11"
# dependencies = ["pyarrow==26.0.1", "torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Single process"
# homepage = "https://pytorch.org"
# devices = ["cpu", "cuda"]
# ///
"""The baseline: the bare loop of training, or of prediction, in one process with nothing added."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.contract import Inference, RankLog, Training, Unsupported


def train(job: Training) -> Iterable[RankLog]:
    if job.workers != 1:
        raise Unsupported("one process is one worker: it is the floor that others are quoted against")
    yield job.run(rank=0)


@contextlib.contextmanager
def infer(job: Inference) -> Iterator[Callable[[str], None]]:
    if job.workers != 1:
        raise Unsupported("one process is one worker: it is the floor that others are quoted against")
    yield passes(job, job.predictor())


def passes(job: Inference, predict: Callable[[Any], Any]) -> Callable[[str], None]:
    """File after file, batch after batch; also for tools that have a model runtime and no data engine."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    def one_pass(target: str) -> None:
        Path(target).mkdir(parents=True)
        for part in sorted(Path(job.source).glob("*.parquet")):
            source = pq.ParquetFile(part)
            schema = pa.schema({"row": pa.int64(), "y": pa.list_(pa.float32())})
            with pq.ParquetWriter(Path(target, part.name), schema) as writer:
                for batch in source.iter_batches(job.batch):
                    x = batch["x"].flatten().to_numpy().reshape(len(batch), -1)
                    y = predict(x).reshape(len(batch), -1)
                    offsets = pa.array(np.arange(len(batch) + 1) * y.shape[1], pa.int32())
                    values = pa.ListArray.from_arrays(offsets, pa.array(y.ravel(), pa.float32()))
                    writer.write_table(pa.table({"row": batch["row"], "y": values}, schema=schema))

    return one_pass
