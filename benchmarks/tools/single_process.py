# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Single process"
# homepage = "https://pytorch.org"
# devices = ["cpu", "cuda"]
# ///
"""The baseline: the bare loop in one process, with nothing added."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.contract import RankLog, Training, Unsupported


def train(job: Training) -> Iterable[RankLog]:
    if job.workers != 1:
        raise Unsupported("one process is one worker: it is the floor that others are quoted against")
    yield job.run(rank=0)
