# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Slowed"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""The bare loop with every step five per cent slower than it is: what a campaign has to find."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training
from benchmarks.loop import bare_step

SHARE = 0.05


def train(job: Training) -> Iterable[RankLog]:
    yield job.run(0, prepare)


def prepare(model: Any, optimizer: Any) -> Any:
    step = bare_step(model, optimizer)

    def slower(inputs: Any, targets: Any) -> Any:
        began = time.perf_counter()
        loss = step(inputs, targets)
        now = time.perf_counter()
        until = now + SHARE * (now - began)
        while time.perf_counter() < until:
            pass
        return loss

    return slower
