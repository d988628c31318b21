"""Energy by the machine's own counters: RAPL of the CPU packages, NVML of NVIDIA devices. Nothing is estimated.

A counter is of the whole package or device, so it holds what else ran there; where one is missing, there is no total.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.sampler import Gpu

POWERCAP = Path("/sys/class/powercap")
MOST_WATTS = 500.0  # that a package draws
LONG = "unavailable: the trial was longer than the counter's range"


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """Joules counted so far, by package or device."""

    cpu: Mapping[str, float]
    gpu: Mapping[str, float]
    ranges: Mapping[str, float]  # at which a package's counter begins anew


def read(powercap: Path = POWERCAP, gpu: Gpu | None = None) -> Reading:
    """The counters now; a package without a readable counter empties them all."""
    cpu: dict[str, float] = {}
    ranges: dict[str, float] = {}
    # intel-rapl:0 is a package (AMD's driver has the same name), intel-rapl:0:0 a part of it.
    for place in sorted(powercap.glob("intel-rapl:[0-9]*")):
        if place.name.count(":") > 1:
            continue
        try:
            if not (place / "name").read_text().startswith("package"):
                continue  # such as psys, which holds the packages once more
            cpu[place.name] = int((place / "energy_uj").read_text()) / 1e6
            ranges[place.name] = int((place / "max_energy_range_uj").read_text()) / 1e6
        except (OSError, ValueError):
            return Reading({}, gpu_joules(gpu), {})
    return Reading(cpu, gpu_joules(gpu), ranges)


def gpu_joules(gpu: Gpu | None) -> dict[str, float]:
    """By device; empty where one of them has no counter, as older ones do."""
    if gpu is None:
        return {}
    try:
        counted = [gpu.nvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in gpu.handles]
    except gpu.nvml.NVMLError:
        return {}
    return {f"gpu{index}": millijoules / 1e3 for index, millijoules in enumerate(counted)}


def fields(before: Reading, after: Reading, seconds: float) -> dict[str, Any]:
    """Columns of `trials`: joules between two readings, and by which method or why there are none."""
    # In a longer time a counter may have begun anew more than once.
    known = all(seconds * MOST_WATTS < largest for largest in before.ranges.values())
    cpu = difference(before.cpu, after.cpu, before.ranges) if known else None
    gpu = difference(before.gpu, after.gpu, {})
    packages = f"RAPL, {len(after.cpu)} packages"
    missing = "unavailable: no readable RAPL counter" if known else LONG
    return {
        "cpu_energy_j": cpu,
        "cpu_energy_method": missing if cpu is None else packages,
        "gpu_energy_j": gpu,
        "gpu_energy_method": "unavailable: no NVML counter" if gpu is None else f"NVML, {len(after.gpu)} devices",
    }


def difference(before: Mapping[str, float], after: Mapping[str, float], ranges: Mapping[str, float]) -> float | None:
    if not after or before.keys() != after.keys():
        return None
    # A counter that is smaller than before has begun anew, once: the widest take minutes at full power.
    return sum(
        value - before[name] + (ranges.get(name, 0.0) if value < before[name] else 0.0) for name, value in after.items()
    )
