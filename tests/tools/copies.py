# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Copies"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Trains a copy of the model, as another framework has to, and writes it back when it is asked to."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training


class CopiedStep:
    def __init__(self, model: Any, optimizer: Any) -> None:
        from benchmarks import loop
        from benchmarks import optimizer as settings

        self.model, self.trained = model, copy.deepcopy(model)
        self.step = loop.bare_step(self.trained, settings.anew(optimizer, self.trained.parameters()))

    def __call__(self, inputs: Any, targets: Any) -> Any:
        return self.step(inputs, targets)

    def write_back(self) -> None:
        self.model.load_state_dict(self.trained.state_dict())


def train(job: Training) -> Iterable[RankLog]:
    yield job.run(0, CopiedStep)
