# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "NaN"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Its loss becomes not a number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    def prepare(model: Any, optimizer: Any) -> Any:
        from benchmarks.loop import bare_step

        step = bare_step(model, optimizer)
        return lambda inputs, targets: step(inputs, targets) * float("nan")

    yield job.run(0, prepare)
