# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==0.0.999"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Unresolvable"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Depends on a version that does not exist."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    return []
