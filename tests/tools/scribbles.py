# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Scribbler"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Writes garbage to the descriptors 0 to 20; trains well otherwise."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    for descriptor in range(21):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\x00garbage\xff\n")
    yield job.run(0)
