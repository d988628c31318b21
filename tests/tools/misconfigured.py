# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Misconfigured"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Trains with another momentum than was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training
from benchmarks.loop import bare_step


def train(job: Training) -> Iterable[RankLog]:
    def prepare(model: Any, optimizer: Any) -> Any:
        optimizer.param_groups[0]["momentum"] = 0.5
        return bare_step(model, optimizer)

    yield job.run(0, prepare)
