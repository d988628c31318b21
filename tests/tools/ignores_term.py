# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Ignores TERM"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Hangs, ignores TERM, and so does a child in a session of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable

from benchmarks.contract import RankLog, Training

CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"


def train(job: Training) -> Iterable[RankLog]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", CHILD], start_new_session=True)
    time.sleep(3600)
    return []
