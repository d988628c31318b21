"""Several generators as one: each in a process and on a core of its own, with every n-th request of the schedule."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

import numpy

from assay import load
from assay.transport import transport

LEAD_NS = 200_000_000  # from the call to the first moment: schedules travel to the processes in that time
SCALARS = ("cpu_ns", "connections")  # of a log
Address = tuple[str, str, str, Mapping[str, str]]  # url, request, response, headers


def work(connection: Connection, core: int | None, address: Address, payloads: Path) -> None:
    """A shard: makes the requests once, then one load a message, until the other side is gone."""
    if core is not None:
        os.sched_setaffinity(0, [core])
    own = transport(*address, numpy.load(payloads))
    connection.send("ready")
    while True:
        try:
            method, arguments, bodies, limit, timeout_s = connection.recv()
        except EOFError:
            return
        with bodies.open("wb") as file:
            generator = own.generator(file, limit, timeout_s)
            try:
                log = getattr(generator, method)(*arguments)
            finally:
                generator.close()
        connection.send((log, numpy.array(generator.order)))


def nothing(_: int) -> None:
    """A load's start is announced once, by the process that deals it out."""


class Shards:
    """The processes; they stay between two loads."""

    def __init__(self, cores: Sequence[int | None], address: Address, payloads: Path) -> None:
        """A process a core, not pinned where it is None; `address` is what `transport` takes before the payloads."""
        self.connections: list[Connection] = []
        # Fresh interpreters: gRPC's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.processes = []
        for core in cores:
            here, there = context.Pipe()
            process = context.Process(target=work, args=(there, core, address, payloads), daemon=True)
            process.start()
            there.close()
            self.processes.append(process)
            self.connections.append(here)
        for connection in self.connections:
            connection.recv()

    @property
    def count(self) -> int:
        return len(self.processes)

    def generator(self, bodies: BinaryIO, limit: int, timeout_s: float) -> Sharded:
        return Sharded(self, bodies, -(-limit // self.count), timeout_s)

    def close(self) -> None:
        for process in self.processes:
            process.terminate()
            process.join()


class Sharded:
    """As `assay.load.Generator`, with the requests of one load dealt out to all shards in turn."""

    def __init__(self, shards: Shards, bodies: BinaryIO, limit: int, timeout_s: float) -> None:
        self.shards, self.bodies, self.limit, self.timeout_s = shards, bodies, limit, timeout_s
        self.order = numpy.zeros(0, numpy.int64)

    def close(self) -> None:
        """The shards stay."""

    def open_loop(
        self, moments: numpy.ndarray, payloads: numpy.ndarray, on_start: Callable[[int], None], start: int = 0
    ) -> load.Log:
        """See `assay.load.Generator.open_loop`."""
        start = start or time.perf_counter_ns() + LEAD_NS
        on_start(start)
        n = self.shards.count
        return self.run("open_loop", [(moments[k::n], payloads[k::n], nothing, start) for k in range(n)])

    def closed_loop(self, concurrency: int, seconds: float, payloads: numpy.ndarray) -> load.Log:
        """See `assay.load.Generator.closed_loop`."""
        n = min(self.shards.count, concurrency)
        shares = [concurrency // n + (k < concurrency % n) for k in range(n)]
        return self.run("closed_loop", [(share, seconds, payloads[k::n]) for k, share in enumerate(shares)])

    def run(self, method: str, calls: Sequence[tuple[Any, ...]]) -> load.Log:
        """One call a shard, at once; what they logged becomes one log in order of schedule."""
        files = [Path(f"{self.bodies.name}.{k}") for k in range(len(calls))]
        busy = self.shards.connections[: len(calls)]
        for connection, arguments, file in zip(busy, calls, files, strict=True):
            connection.send((method, arguments, file, self.limit, self.timeout_s))
        logs, orders = zip(*(connection.recv() for connection in busy), strict=True)
        for file in files:
            with file.open("rb") as part:
                shutil.copyfileobj(part, self.bodies)
            file.unlink()
        columns = [field.name for field in dataclasses.fields(load.Log) if field.name not in SCALARS]
        joined = {name: numpy.concatenate([getattr(log, name) for log in logs]) for name in columns}
        sequence = numpy.argsort(joined["scheduled"], kind="stable")
        place = numpy.empty_like(sequence)
        place[sequence] = numpy.arange(len(sequence))
        firsts = numpy.cumsum([0, *map(len, logs)])
        self.order = place[numpy.concatenate([order + first for order, first in zip(orders, firsts, strict=False)])]
        fields: dict[str, Any] = {name: column[sequence] for name, column in joined.items()}
        fields |= {name: sum(getattr(log, name) for log in logs) for name in SCALARS}
        return load.Log(**fields)
