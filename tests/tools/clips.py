# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Clips"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Clips gradients silently, as a framework's default may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    def prepare(model: Any, optimizer: Any) -> Any:
        import torch

        def step(inputs: Any, targets: Any) -> Any:
            optimizer.zero_grad()
            loss = model(inputs, targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            return loss.detach()

        return step

    yield job.run(0, prepare)
