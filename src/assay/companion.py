"""The client's process as the engine sees it: what it says, and what is read of the server while it loads it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import psutil

from assay import runner
from assay.tree import Tree

BATCH_SIZES = 4096  # as benchmarks.model.BATCH_SIZES


class Client:
    """The client's process as the runner sees it (`runner.Companion`)."""

    def __init__(self, plan: dict[str, Any], tree: Tree, scratch: Path, progress: Callable[[str], None]) -> None:
        self.tree, self.scratch, self.progress = tree, scratch, progress
        self.log = scratch.with_suffix(".log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "assay.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            # One thread, so that it may enter the server's namespaces.
            env={**os.environ, **dict.fromkeys(runner.THREADS, "1")},
            start_new_session=True,
        )
        tree.apart.add(self.process.pid)
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(plan).encode() + b"\n")
        self.process.stdin.close()
        self.descriptor = self.process.stdout.fileno()
        self.rest = b""
        self.phase = "launch"
        self.ready: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        self.bracket: dict[str, Any] | None = None
        self.findings: list[dict[str, str]] = []
        self.failure: tuple[str, str] | None = None  # code and message
        self.ended = False
        # By load and edge of its window: CPU seconds of the tree, calls of the model by their rows.
        self.seen: dict[int, dict[str, tuple[float, dict[str, numpy.ndarray]]]] = {}
        self.edges: list[tuple[int, int, str]] = []  # moments to read that: ns, load, edge
        self.affinity: dict[str, list[int]] = {}

    def receive(self) -> bool:
        data = os.read(self.descriptor, 1 << 20)
        if not data:
            return False
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.take(json.loads(line))
        return True

    def take(self, event: dict[str, Any]) -> None:
        match event.pop("event"):
            case "ready":
                self.ready = event
                self.phase = "warmup"
                self.affinity = {
                    "server": sorted({core for process in self.tree.processes() for core in affinity(process)}),
                    "generator": sorted(affinity(psutil.Process(self.process.pid))),
                }
            case "load":
                self.phase = "measure"
                number = event["load"]
                self.edges += [(event["opens_ns"], number, "opens"), (event["closes_ns"], number, "closes")]
                rate = f"{event['rate']:.4g} requests/s" if event["rate"] else event["kind"]
                self.progress(f"measure {rate}")
            case "done":
                self.rows.append(event["row"])
            case "finding":
                self.findings.append(event)
            case "bracket":
                self.bracket = event
            case "failed":
                self.failure = event["code"], event["error"]
            case "end":
                self.ended = True

    def tick(self) -> float:
        now = time.perf_counter_ns()
        while self.edges and min(self.edges)[0] <= now:
            edge = min(self.edges)
            self.edges.remove(edge)
            self.seen.setdefault(edge[1], {})[edge[2]] = self.tree.cpu_so_far(), calls(self.scratch)
        if not self.edges:
            return math.inf
        return time.monotonic() + (min(self.edges)[0] - now) / 1e9

    def end(self) -> None:
        self.process.terminate()  # it closes its file of requests on that
        try:
            self.process.wait(runner.GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()
        self.log.close()

    def load_rows(self, run: str, trial: int) -> list[dict[str, Any]]:
        """Rows of the table `loads`."""
        rows = []
        for row in self.rows:
            seen = self.seen.get(row["load"], {})
            found: dict[str, Any] = {"server_cpu_s": None, "batch_sizes": None, "answering_processes": None}
            if len(seen) == 2:
                (cpu_before, calls_before), (cpu_after, calls_after) = seen["opens"], seen["closes"]
                sizes, processes = between(calls_before, calls_after)
                found |= {"server_cpu_s": cpu_after - cpu_before}
                if sizes:
                    found |= {"batch_sizes": json.dumps(sizes), "answering_processes": processes}
            rows.append({"run": run, "trial": trial, **row, **found})
        return rows


def between(before: Mapping[str, numpy.ndarray], after: Mapping[str, numpy.ndarray]) -> tuple[dict[int, int], int]:
    """Calls of the model by their rows, and the processes that made any, between two readings of `calls`."""
    made = [counts - before.get(process, 0) for process, counts in after.items()]
    total = sum(made, start=numpy.zeros(BATCH_SIZES + 1, numpy.int64))
    sizes = {int(size): int(total[size]) for size in numpy.flatnonzero(total)}
    return sizes, sum(bool(counts.any()) for counts in made)


def calls(scratch: Path) -> dict[str, numpy.ndarray]:
    """Each of the server's processes to its calls of the model so far, by their rows; see `benchmarks.model`."""
    found = {}
    for path in scratch.glob("batches-*"):
        counts = numpy.fromfile(path, numpy.int64)
        found[path.name] = numpy.zeros(BATCH_SIZES + 1, numpy.int64)
        found[path.name][: len(counts)] = counts
    return found


def affinity(process: psutil.Process) -> list[int]:
    try:
        return list(process.cpu_affinity())
    except (psutil.Error, AttributeError):
        return []
