# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Hang"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Never launches anything."""

from __future__ import annotations

import time
from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    time.sleep(3600)
    return []
