# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Declines"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Says that it cannot do this."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.contract import RankLog, Training, Unsupported


def train(job: Training) -> Iterable[RankLog]:
    raise Unsupported("needs a licence")
