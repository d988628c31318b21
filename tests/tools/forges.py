# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Forger"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Writes to the wire itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    os.write(int(sys.argv[1]), b'{"record": "throughput", "value": 1e9}\n')
    return []
