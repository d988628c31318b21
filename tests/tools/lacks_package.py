# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Lacking"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Imports what its environment does not have."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    import no_such_package_of_ours  # type: ignore[import-not-found]

    return list(no_such_package_of_ours.train(job))
