"""What is missing on this machine, and how to get it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from assay import browser, environment, machine, tool, tree
from assay.selection import Layout

LEAST_DISK = 15 * 2**30  # all environments hold 11 GiB, hard links to what uv has downloaded
LEAST_MEMORY = 6 * 2**30  # Ray and its two ranks held 3 GiB


def check(place: Layout, tool_folders: Sequence[str]) -> int:
    """Print a line a finding; returns 0 where every tool can run here, else 1."""
    facts = machine.facts()
    cores = len(machine.cores())
    lines: list[tuple[Any, ...]] = [
        (True, f"{facts['cpu']}, {cores} usable cores, {facts['memory_bytes'] / 2**30:.0f} GiB, {facts['kernel']}"),
        (shutil.which(environment.uv()) is not None, f"uv: {environment.uv()}", "pip install uv"),
        (
            tree.supports_subreaper(),
            "orphans of a trial can be reaped",
            "only Linux can: elsewhere a daemon that a tool forks may be missed",
        ),
        (
            psutil.disk_usage(str(place.root)).free > LEAST_DISK,
            f"{psutil.disk_usage(str(place.root)).free / 2**30:.0f} GiB of disk are free",
            f"environments and downloads need {LEAST_DISK / 2**30:.0f} GiB",
        ),
        (
            psutil.virtual_memory().available > LEAST_MEMORY,
            f"{psutil.virtual_memory().available / 2**30:.0f} GiB of memory are available",
            f"the largest tool needs {LEAST_MEMORY / 2**30:.0f} GiB",
        ),
        (
            place.calibration.exists(),
            "the noise gate is calibrated",
            "the next run does it; to do it when the machine is surely idle: assay doctor --noise",
        ),
        (
            bool(facts["gpus"]),
            f"GPUs: {', '.join(gpu['name'] for gpu in facts['gpus']) or 'none'}",
            "scenarios for cuda will be unsupported",
        ),
    ]
    lines.append(
        (
            browser.program() is not None,
            "a Chromium is on PATH",
            "the forms on servers' own pages will not be tried; Debian: apt-get install chromium",
        )
    )
    links = environment.uv_environment(os.environ)
    for name in sorted(environment.PIP_TO_UV.values()):
        if name in links:
            lines.append((True, f"{name} is set, from uv's or pip's settings"))
    fit = True
    for one in tool.find([place.root / folder for folder in tool_folders], place.root).values():
        missing = environment.missing_needs(one)
        fit &= not missing
        needs = f" ({', '.join(one.needs)})" if one.needs else ""
        remedy = "; ".join(environment.remedy(need) for need in missing)
        lines.append((not missing, f"{one.name}{needs}", remedy))
    for good, text, *advice in lines:
        print(f"{'ok  ' if good else 'note'} {text}" + ("" if good or not advice else f": {advice[0]}"))
    return int(not fit)


def noise(path: Path) -> int:
    """Measure and store this machine's noise."""
    found = machine.calibrate(path)
    print(
        f"of {found['probes']} probes: kernel CV {found['wall_cv']:.1%}, drift {found['drift']:.1%} "
        f"(95th percentiles), CPU share at least {found['cpu_share']:.3f}"
    )
    print(f"the gate now rejects above twice these: {path}")
    resolved = ", ".join(f"{machine.resolvable(found['spread'], blocks):.0%} in {blocks} blocks" for blocks in (7, 10))
    print(f"a single process's work differs from itself by {found['spread']:.1%}: a run can resolve about {resolved}")
    return 0
