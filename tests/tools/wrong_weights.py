# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Apart"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Its ranks never exchange gradients, so they end with different weights."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    return [job.run(rank) for rank in range(job.workers)]
