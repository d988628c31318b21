# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Flood"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Writes 200 MB to stdout and stderr; trains well otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    line = b"x" * 99_999 + b"\n"
    for _ in range(1000):
        os.write(1, line)
        os.write(2, line)
    yield job.run(0)
