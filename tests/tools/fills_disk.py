# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Disk"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Fills the scratch folder beyond its quota."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    with Path(job.scratch, "full").open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 2**23)
            file.flush()
            time.sleep(0.05)
    return []
