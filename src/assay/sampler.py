"""Memory of a process tree over time, at a bounded cost to what is being measured.

Sampling pays for itself: after a sample the next one waits until its cost is at most `SHARE` of a core, so a
tree of fifty processes is sampled less often than one of three.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from assay.tree import Tree

SHARE = 0.005  # of a core, spent on sampling; half the target of one per cent for the whole engine
FASTEST_S = 0.2  # rule M58: resident size at 5 to 10 Hz
PSS_EVERY_S = 1.0  # rule M58: proportional size at most once a second


@dataclasses.dataclass(slots=True)
class Peak:
    """The largest total seen, with its parts by process."""

    total: int = 0  # bytes
    by_pid: dict[int, tuple[str, int]] = dataclasses.field(default_factory=dict)  # pid to name, bytes

    def see(self, sizes: dict[int, tuple[str, int]]) -> int:
        total = sum(size for _, size in sizes.values())
        if total > self.total:
            self.total, self.by_pid = total, sizes
        return total


class Sampler:
    """Call `sample` when `due_s` has come."""

    def __init__(self, tree: Tree, gpu: Gpu | None = None) -> None:
        self.tree, self.gpu = tree, gpu
        self.ignored: int | None = None  # a process of the tree that is the harness's own
        self.rss, self.pss = Peak(), Peak()
        self.series: dict[str, tuple[str, list[int], list[float]]] = {}  # metric to unit, stamps, values
        self.cost_s = 0.0  # CPU seconds spent here
        self.due_s = time.monotonic() + FASTEST_S
        self.pss_due_s = self.due_s

    def sample(self) -> int:
        """Take a sample; returns the bytes the tree holds, by the best method that was due."""
        started = time.process_time()
        processes = self.counted()
        total = self.rss.see(dict(resident(processes)))
        self.note("tree_rss", "B", total)
        now = time.monotonic()
        if now >= self.pss_due_s:
            total = self.pss.see(dict(proportional(processes))) or total
            self.note("tree_pss", "B", total)
            self.pss_due_s = now + PSS_EVERY_S
        if self.gpu:
            for metric, unit, value in self.gpu.read():
                self.note(metric, unit, value)
        cost = time.process_time() - started
        self.cost_s += cost
        self.due_s = now + max(FASTEST_S, cost / SHARE)
        return total

    def confirm(self) -> int:
        """The tree's bytes by the method that counts shared pages once; by the other where there is none."""
        processes = self.counted()
        return self.pss.see(dict(proportional(processes))) or self.rss.see(dict(resident(processes)))

    def counted(self) -> list[psutil.Process]:
        return [process for process in self.tree.processes() if process.pid != self.ignored]

    def note(self, metric: str, unit: str, value: float) -> None:
        _, stamps, values = self.series.setdefault(metric, (unit, [], []))
        stamps.append(time.perf_counter_ns())
        values.append(value)


def resident(processes: list[psutil.Process]) -> Iterator[tuple[int, tuple[str, int]]]:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            yield process.pid, (process.name(), process.memory_info().rss)


def proportional(processes: list[psutil.Process]) -> Iterator[tuple[int, tuple[str, int]]]:
    """Shared pages divided among their sharers; only Linux tells."""
    for process in processes:
        with contextlib.suppress(OSError, psutil.Error):
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    yield process.pid, (process.name(), int(line.split()[1]) * 1024)
                    break


class Gpu:
    """Memory and utilisation of the whole machine's NVIDIA devices, by NVML."""

    def __init__(self) -> None:
        import pynvml

        pynvml.nvmlInit()
        self.nvml = pynvml
        self.handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]

    @classmethod
    def find(cls) -> Gpu | None:
        """None where there is no driver, no device or no binding."""
        with contextlib.suppress(Exception):
            return cls()
        return None

    def read(self) -> Iterator[tuple[str, str, float]]:
        for index, handle in enumerate(self.handles):
            with contextlib.suppress(self.nvml.NVMLError):
                yield f"gpu{index}_memory", "B", self.nvml.nvmlDeviceGetMemoryInfo(handle).used
                yield f"gpu{index}_utilisation", "%", self.nvml.nvmlDeviceGetUtilizationRates(handle).gpu
