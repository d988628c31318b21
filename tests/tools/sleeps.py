# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Sleeps"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Sleeps a known time in every step, to see whether the clock tells it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training
from benchmarks.loop import bare_step

STEP_S = 0.05


def train(job: Training) -> Iterable[RankLog]:
    def prepare(model: Any, optimizer: Any) -> Any:
        step = bare_step(model, optimizer)

        def slow(inputs: Any, targets: Any) -> Any:
            until = time.perf_counter() + STEP_S
            loss = step(inputs, targets)
            time.sleep(until - time.perf_counter())
            return loss

        return slow

    yield job.run(0, prepare)
