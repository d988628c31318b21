"""The host: what it is, and how quiet it is right now."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from assay.errors import UsageError

# Rule M54: five runs of a fixed pure-Python kernel of about 25 ms.
KERNEL_RUNS = 5
KERNEL_ROUNDS = 250_000
# Rule M55: the least limits of the gate; `calibrate` raises them to twice what this machine shows when idle.
DEFAULT_WALL_CV = 0.10
DEFAULT_DRIFT = 0.06
LEAST_CPU_SHARE = 0.95
MOST_STEAL = 0.01
LIMITS = ("wall_cv", "drift", "cpu_share", "steal")
PROBE_PAUSE_S = 0.5
MOST_WAIT_S = 15.0  # for the machine to become quiet before a trial
PROBE_DISTANCE = 20  # probes: with their pauses a dozen seconds, a short trial's length


def facts() -> dict[str, Any]:
    """What is fixed about this machine; a fact that cannot be read is None."""
    gpus = gpu_facts()
    return {
        "cpu": cpu_model(),
        "architecture": platform.machine(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "cpuset": cores(),
        "cpu_limit": cgroup_cpu_limit(),
        "numa_nodes": len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or None,
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "smt_active": read("/sys/devices/system/cpu/smt/active"),
        "turbo_off": read("/sys/devices/system/cpu/intel_pstate/no_turbo"),
        "transparent_hugepages": chosen(read("/sys/kernel/mm/transparent_hugepage/enabled")),
        "aslr": read("/proc/sys/kernel/randomize_va_space"),
        "clocksource": read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "memory_bytes": psutil.virtual_memory().total,
        "memory_limit_bytes": cgroup_memory_limit(),
        "hypervisor": "yes" if re.search(r"\bhypervisor\b", read("/proc/cpuinfo") or "") else None,
        "system": platform.system(),
        "kernel": platform.release(),
        "distribution": distribution(),
        "python": platform.python_version(),
        "gpus": gpus,
    }


def cores() -> list[int]:
    """The logical cores that this process may use, one of each physical core first.

    Ranks are pinned in this order: two of them on the threads of one core would be a contest, not scaling.
    """
    if not hasattr(os, "sched_getaffinity"):
        return list(range(psutil.cpu_count() or 1))
    usable = sorted(os.sched_getaffinity(0))
    seen: dict[str, int] = {}  # physical core to how many of its threads were listed before
    order = []
    for core in usable:
        siblings = read(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list") or str(core)
        seen[siblings] = seen.get(siblings, -1) + 1
        order.append((seen[siblings], core))
    return [core for _, core in sorted(order)]


def siblings(core: int) -> set[int]:
    """The logical cores of its physical core, itself among them."""
    listed = read(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list") or str(core)
    found: set[int] = set()
    for part in listed.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def folder_size(folder: Path) -> int:
    """Bytes below a folder, links not followed; what vanishes meanwhile counts nothing."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(f"{place}/{name}").st_size
    return total


def has_cuda() -> bool:
    return bool(gpu_facts())


def gpu_facts() -> list[dict[str, str]]:
    """Name, memory, driver and clocks of every NVIDIA GPU; empty where there is none."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    fields = ["name", "memory.total", "driver_version", "clocks.max.sm", "persistence_mode"]
    asked = subprocess.run(
        [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"], capture_output=True, text=True
    )
    if asked.returncode:
        return []
    return [dict(zip(fields, line.split(", "), strict=False)) for line in asked.stdout.splitlines() if line]


def cpu_model() -> str | None:
    for line in (read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or None


def distribution() -> str | None:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    return None


def cgroup_cpu_limit() -> float | None:
    """Cores' worth of time that the control group allows; None for no limit."""
    if quota := (read("/sys/fs/cgroup/cpu.max") or "").split():
        return None if quota[0] == "max" else int(quota[0]) / int(quota[1])
    quota_us, period_us = read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota_us and period_us and int(quota_us) > 0:
        return int(quota_us) / int(period_us)
    return None


def cgroup_memory_limit() -> int | None:
    text = read("/sys/fs/cgroup/memory.max") or read("/sys/fs/cgroup/memory/memory.limit_in_bytes")
    if not text or text == "max" or int(text) > psutil.virtual_memory().total:
        return None
    return int(text)


def read(path: str) -> str | None:
    with contextlib.suppress(OSError):
        return Path(path).read_text().strip()
    return None


def chosen(text: str | None) -> str | None:
    """The bracketed one of "always [madvise] never"."""
    match = re.search(r"\[(\w+)\]", text or "")
    return match[1] if match else None


@dataclasses.dataclass(frozen=True, slots=True)
class Probe:
    """How quiet the machine was at one moment."""

    wall_ns: float  # median of the kernel's runs
    wall_cv: float  # standard deviation over mean of the runs
    cpu_share: float  # CPU over wall of the runs: below one, something else ran on this core
    steal_s: float | None  # since boot, all cores: the hypervisor ran something else
    pressure_us: int | None  # since boot: some task waited for a core (PSI)
    load: float  # one-minute load average
    running: int | None  # tasks that ran or waited for a core, this one among them
    at_s: float  # monotonic


def probe() -> Probe:
    walls, cpus = [], []
    for _ in range(KERNEL_RUNS):
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        total = 0
        for number in range(KERNEL_ROUNDS):
            total += number & 7
        walls.append(time.perf_counter_ns() - wall)
        cpus.append(time.thread_time_ns() - cpu)
    waiting = re.search(r"procs_running (\d+)", read("/proc/stat") or "")
    pressure = re.search(r"some .*total=(\d+)", read("/proc/pressure/cpu") or "")
    return Probe(
        wall_ns=statistics.median(walls),
        wall_cv=statistics.stdev(walls) / statistics.mean(walls),
        cpu_share=sum(cpus) / sum(walls),
        steal_s=getattr(psutil.cpu_times(), "steal", None),
        pressure_us=int(pressure[1]) if pressure else None,
        load=os.getloadavg()[0],
        running=int(waiting[1]) if waiting else None,
        at_s=time.monotonic(),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Calibration:
    """Limits of the noise gate: twice what the idle machine shows, at least the defaults (rule M55), or the user's."""

    wall_cv: float = DEFAULT_WALL_CV
    drift: float = DEFAULT_DRIFT
    cpu_share: float = LEAST_CPU_SHARE
    steal: float = MOST_STEAL
    measured: bool = False

    @classmethod
    def load(cls, path: Path, own: Path | None = None) -> Calibration:
        """From what was measured, and from the user's file `own`. Raises UsageError for a limit that is none."""
        found = cls()
        with contextlib.suppress(OSError, ValueError, KeyError):
            fields = json.loads(path.read_text())
            wall_cv, drift = 2 * fields["wall_cv"], 2 * fields["drift"]
            found = cls(max(wall_cv, DEFAULT_WALL_CV), max(drift, DEFAULT_DRIFT), measured=True)
        if own is None or not own.exists():
            return found
        try:
            limits = tomllib.loads(own.read_text(encoding="utf-8"))
        except (OSError, ValueError) as fault:
            raise UsageError(f"{own}: {fault}") from fault
        wrong = [name for name, value in limits.items() if name not in LIMITS or not isinstance(value, float | int)]
        if wrong:
            raise UsageError(f"{own}: {', '.join(wrong)}: the limits are numbers named {', '.join(LIMITS)}")
        return dataclasses.replace(found, **limits)


def calibrate(path: Path, probes: int = 40) -> dict[str, float]:
    """Measure the idle machine's noise; write it to `path`. The 95th percentile of each quantity.

    Drift is between probes as far apart as those before and after a trial.
    """
    taken = []
    for _ in range(probes):
        taken.append(probe())
        time.sleep(PROBE_PAUSE_S)
    pairs = zip(taken, taken[PROBE_DISTANCE:], strict=False)
    drifts = sorted(abs(after.wall_ns / before.wall_ns - 1) for before, after in pairs)
    spreads = sorted(one.wall_cv for one in taken)
    found = {
        "wall_cv": spreads[int(0.95 * len(spreads))],
        "drift": drifts[int(0.95 * len(drifts))],
        "cpu_share": min(one.cpu_share for one in taken),
        # Standard deviation of the log ratio of two neighbours, as two tools of one block are.
        "spread": statistics.stdev(math.log(b.wall_ns / a.wall_ns) for a, b in itertools.pairwise(taken)),
        "probes": probes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return found


def resolvable(spread: float, blocks: int) -> float:
    """The smallest difference, as a share, that the 95 % interval of so many paired blocks would exclude (M22)."""
    from scipy import stats

    return math.expm1(float(stats.t.ppf(0.975, blocks - 1)) * spread / math.sqrt(blocks))


def settled(limits: Calibration, wait_s: float = MOST_WAIT_S, take: Callable[[], Probe] = probe) -> Probe:
    """A probe of the machine once it is quiet, or after `wait_s`: a trial that begins in noise would be rejected."""
    deadline = time.monotonic() + wait_s
    while unquiet(found := take(), limits) and time.monotonic() < deadline:
        time.sleep(PROBE_PAUSE_S)
    return found


def unquiet(one: Probe, limits: Calibration) -> list[str]:
    """What one probe shows to be too noisy, each with value and limit."""
    found = []
    if one.cpu_share < limits.cpu_share:
        found.append(f"kernel CPU/wall {one.cpu_share:.3f} < {limits.cpu_share}")
    if one.wall_cv > limits.wall_cv:
        found.append(f"kernel CV {one.wall_cv:.3f} > {limits.wall_cv:.3f}")
    return found


def noise(before: Probe, after: Probe, limits: Calibration) -> list[str]:
    """What was too noisy between two probes, each with value and limit; empty if nothing was."""
    found = [
        f"{fault} {name}" for name, one in (("before", before), ("after", after)) for fault in unquiet(one, limits)
    ]
    drift = abs(after.wall_ns / before.wall_ns - 1)
    if drift > limits.drift:
        found.append(f"kernel drift {drift:.3f} > {limits.drift:.3f}")
    steal = steal_share(before, after)
    if steal is not None and steal > limits.steal:
        found.append(f"steal {steal:.3f} > {limits.steal}")
    return found


def steal_share(before: Probe, after: Probe) -> float | None:
    """Of all cores' time between two probes, what the hypervisor gave to others; None where it does not tell."""
    if before.steal_s is None or after.steal_s is None:
        return None
    return (after.steal_s - before.steal_s) / max(1e-9, after.at_s - before.at_s) / (psutil.cpu_count() or 1)
