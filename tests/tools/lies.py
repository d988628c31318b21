# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Liar"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Trains at half the learning rate and reports the one that was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    class Step:
        def __init__(self, model: Any, optimizer: Any) -> None:
            from benchmarks.loop import bare_step

            self.step = bare_step(model, optimizer)
            optimizer.param_groups[0]["lr"] /= 2

        def __call__(self, inputs: Any, targets: Any) -> Any:
            return self.step(inputs, targets)

        def effective_config(self) -> dict[str, Any]:
            return dict(job.requested)

    yield job.run(0, Step)
