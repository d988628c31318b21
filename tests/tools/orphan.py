# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Orphan"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Leaves a double-forked daemon that listens on a port; trains well otherwise."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen()
                time.sleep(3600)
        os._exit(0)
    os.wait()
    yield job.run(0)
