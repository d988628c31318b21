# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Memory"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Takes memory beyond the limit, in a child."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def eat() -> None:
    held = []
    for _ in range(64):
        held.append(b"x" * 2**27)
        time.sleep(0.05)
    time.sleep(60)


def train(job: Training) -> Iterable[RankLog]:
    child = multiprocessing.get_context("fork").Process(target=eat)
    child.start()
    child.join()
    return []
