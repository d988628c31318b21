# /// script
# requires-python = ">=3.11"
# dependencies = ["pyarrow==26.0.1", "torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Infers"
# homepage = "https://example.org"
# devices = ["cpu"]
# settings = ["fault"]
# ///
"""Batch inference as the baseline does it, or with the fault that its settings name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.contract import Inference
from benchmarks.tools import single_process


@contextlib.contextmanager
def infer(job: Inference) -> Iterator[Callable[[str], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    honest = single_process.passes(job, job.predictor())
    fault = job.settings.get("fault")

    def one_pass(target: str) -> None:
        honest(target)
        part = sorted(Path(target).glob("*.parquet"))[0]
        table = pq.read_table(part)
        if fault == "drops":
            pq.write_table(table.slice(1), part)
        if fault == "twice":
            pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), part)
        if fault == "swaps":
            rows = table["row"].to_pylist()
            rows[0], rows[1] = rows[1], rows[0]
            pq.write_table(table.set_column(0, "row", pa.array(rows, pa.int64())), part)
        if fault == "reverses":
            pq.write_table(table.take(list(reversed(range(len(table))))), part)
        if fault == "nothing":
            part.write_text("no parquet")

    yield one_pass
