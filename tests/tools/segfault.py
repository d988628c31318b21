# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Segfault"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""One rank of two dies by a segmentation fault, under torchrun."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterable

from benchmarks.contract import RankLog, Training


def train(job: Training) -> Iterable[RankLog]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job.workers}"]
    subprocess.run([*command, "--module", __name__], check=True)
    return job.collect()


if __name__ == "__main__" and os.environ["RANK"] == "1":
    ctypes.string_at(0)
