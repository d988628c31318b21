"""The process that loads a server: waits until it answers rightly, offers the planned loads, checks every response.

Started by the engine as `python -m assay.client`, apart from the server in process and core. A plan comes as
one line of JSON on stdin; events leave as JSON lines on stdout; requests go to a parquet file.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import http.client
import io
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy

from assay import findings, load, tails
from assay.shards import Shards
from assay.transport import MOST_CONNECTIONS, Loader, Transport, TransportError, transport

POLL_S = 0.02  # between two attempts to get a first answer
ATTEMPT_S = 30.0  # a first prediction may load the model
EDGE_S = 0.05  # the engine's own lateness
DRAIN_S = 120.0  # a server that fell behind has for its backlog
CHECK_S = 3600.0  # for all payloads: the limit of each request ends it sooner
LAG_NS, LAG_SHARE = 1_000_000, 0.1  # rule M43: p99 of lag and pool wait, absolute or as a share of the response's
ARRIVALS_SHARE, ERROR_SHARE, CPU_SHARE = 0.01, 0.001, 0.7
IN_FLIGHT = 5  # requests that may be under way when a window closes without the server having fallen behind
GENERATOR_CODES = {"LAG", "POOL_WAIT", "ARRIVALS", "GENERATOR_CPU"}
SHED = (load.TIMEOUT, 429, 503, 1008)  # the last is gRPC's RESOURCE_EXHAUSTED
REPEATS = 2  # of a search's load for which the generator was late
LEAST_SHARE, LONGEST_S = 1.2, 60.0  # a search's window holds so many times the least count, and is never longer
SEED_STEP = 1_000_003  # between the schedules of one search; blocks differ by one
LEAST_CONNECTIONS, SPARE_DESCRIPTORS = 256, 64
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
ABSOLUTE, RELATIVE = 1e-4, 1e-5  # rule M35, float32


class PlanError(Exception):
    """The plan cannot be carried out, with the reason; `code` is a key of `assay.serving.FAILURE_CODES` or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


def main() -> None:
    """Entry point."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = json.loads(sys.stdin.readline())
    try:
        # Before anything starts a thread.
        if plan["namespace_of"]:
            join_network(plan["namespace_of"])
        if plan["cores"]:
            os.sched_setaffinity(0, plan["cores"])
        Client(plan).run()
    except PlanError as fault:
        tell("failed", error=str(fault), code=fault.code)
    else:
        tell("end")


def tell(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def right(found: numpy.ndarray, golden: numpy.ndarray) -> bool:
    """Whether predictions are the golden ones, both flat."""
    return found.shape == golden.shape and bool(numpy.allclose(found, golden, atol=ABSOLUTE, rtol=RELATIVE))


class Client:
    """One server under the loads of one trial."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.address = plan["url"], plan["request"], plan["response"], plan["headers"]
        self.payloads = numpy.load(plan["payloads"], mmap_mode="r")
        self.golden = [golden.astype(numpy.float64).ravel() for golden in numpy.load(plan["golden"])]
        # One request is enough to find out when the server is ready, and the others would hold that up.
        self.transport = self.reach(self.payloads[:1])
        self.encode_ns = self.decode_ns = 0.0
        self.shards: Shards | None = None
        self.writer: Any = None
        self.loads = 0

    def run(self) -> None:
        self.wait_until_ready()
        started = time.process_time_ns()
        self.transport = self.reach(self.payloads)
        self.encode_ns = (time.process_time_ns() - started) / len(self.payloads)
        self.check_all()
        if self.plan["second"]:
            self.probe()
        if len(self.plan["cores"]) > 1:
            # One generator works in this process; more have processes and cores of their own.
            self.shards = Shards(self.plan["cores"], self.address, Path(self.plan["payloads"]))
        time.sleep(self.plan["idle_s"])
        try:
            for one in self.plan["loads"]:
                if one["kind"] == "search":
                    self.search(one)
                else:
                    self.offer(one)
        finally:
            if self.shards:
                self.shards.close()
            # Also when the server died and the engine ends this: what was measured until then is kept.
            if self.writer:
                self.writer.close()
                self.partial.rename(self.plan["output"])

    def reach(self, payloads: numpy.ndarray) -> Transport:
        try:
            return transport(*self.address, payloads)
        except TransportError as fault:
            raise PlanError(str(fault)) from fault

    def probe(self) -> None:
        """Find out what else the server offers; before any load, so that none is disturbed."""
        subject = findings.Subject(
            url=self.plan["url"],
            offers=self.plan["offers"],
            transport=self.transport,
            reach=lambda url, payloads: transport(url, *self.address[1:], payloads),
            right=right,
            payloads=self.payloads,
            golden=self.golden,
            second=findings.goldens(Path(self.plan["second"])),
        )
        for one in findings.find(subject):
            tell("finding", **dataclasses.asdict(one))

    def wait_until_ready(self) -> None:
        """Ask until the first correct prediction; tell when something listened, answered and answered rightly."""
        deadline = time.monotonic() + self.plan["ready_s"]
        moments: dict[str, int] = {}
        last, code = "nothing listens", "timeout"
        while (left := deadline - time.monotonic()) > 0:
            try:
                if "listening" not in moments:
                    self.transport.listens(min(ATTEMPT_S, left))
                    moments["listening"] = time.perf_counter_ns()
                status, body = self.transport.ask(0, min(ATTEMPT_S, left))
                now = time.perf_counter_ns()
                moments.setdefault("answering", now)
                if status != 200:
                    last, code = f"status {status}: {body[:200]!r}", "timeout"
                elif right(self.transport.decode(body), self.golden[0]):
                    tell("ready", at_ns=now, **{f"{name}_ns": value for name, value in moments.items()})
                    return
                else:
                    last, code = f"a wrong answer: {body[:200]!r}", "MISMATCH"
            except ValueError as fault:
                last, code = f"an answer that cannot be read: {fault}", "MISMATCH"
            except (OSError, http.client.HTTPException) as fault:
                # What it answered before says more than that it now does not.
                if "answering" not in moments:
                    last = f"{type(fault).__name__}: {fault}"
            time.sleep(POLL_S)
        raise PlanError(f"no correct prediction within {self.plan['ready_s']:.0f} s; last: {last}", code)

    def check_all(self) -> None:
        """Every payload once, one after the other; measures what reading an answer costs here."""
        bodies = io.BytesIO()
        log = self.closed(1, CHECK_S, numpy.arange(len(self.golden)), bodies)
        started = time.process_time_ns()
        verdicts = self.judge(log[0], log[1], bodies)
        self.decode_ns = (time.process_time_ns() - started) / max(1, len(verdicts))
        wrong = [index for index, verdict in verdicts.items() if not verdict]
        if wrong:
            raise PlanError(f"{len(wrong)} of {len(self.golden)} predictions differ from the golden ones", "MISMATCH")
        if len(verdicts) < len(self.golden):
            kinds = describe(log[0].status)
            raise PlanError(f"{len(self.golden) - len(verdicts)} of {len(self.golden)} requests failed: {kinds}")

    def generator(self, bodies: BinaryIO, in_flight: float) -> Loader:
        """With a pool for twice what is in flight, at least 256 (M40), as far as descriptors go."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_DESCRIPTORS
        limit = min(max(LEAST_CONNECTIONS, int(2 * in_flight)), MOST_CONNECTIONS, most)
        # One request at a time needs one process.
        source = self.shards if self.shards and in_flight > 1 else self.transport
        return source.generator(bodies, limit, self.plan["timeout_s"])

    def closed(
        self, concurrency: int, seconds: float, payloads: numpy.ndarray, bodies: BinaryIO
    ) -> tuple[load.Log, Any]:
        generator = self.generator(bodies, concurrency)
        try:
            return generator.closed_loop(concurrency, seconds, payloads), generator.order
        finally:
            generator.close()

    def judge(self, log: load.Log, order: Any, bodies: BinaryIO) -> dict[int, bool]:
        """Request to whether its answer is right, of those that were answered with status 200."""
        bodies.seek(0)
        seen: dict[tuple[int, bytes], bool] = {}
        verdicts = {}
        for request in order:
            body = bodies.read(int(log.size[request]))
            if log.status[request] != 200:
                continue
            payload = int(log.payload[request])
            known = seen.get((payload, body))
            if known is None:
                try:
                    known = right(self.transport.decode(body), self.golden[payload])
                except ValueError:
                    known = False
                if len(seen) < 4 * len(self.golden):
                    seen[payload, body] = known
            verdicts[request] = known
        return verdicts

    def search(self, one: dict[str, Any]) -> None:
        """The largest rate whose quantile stays within the bound (M48)."""
        needed = LEAST_SHARE * tails.least_count(one["quantile"])
        search = tails.Search(one["start"], one["ceiling"], needed / LONGEST_S)
        repeats = offered = 0
        while (rate := search.rate) is not None:
            offered += 1
            changes = {"rate": rate, "seed": one["seed"] + SEED_STEP * offered}
            row = self.offer({**one, **changes, "window_s": max(one["window_s"], needed / rate)})
            if not GENERATOR_CODES & set((row["codes"] or "").split()):
                repeats = 0
                search.decide(bool(row["passed"]))
            elif repeats < REPEATS:
                repeats += 1
            else:
                # The generator's limit is not the server's: what lies above stays unknown.
                search.give_up()
        low, high = search.bracket
        tell("bracket", quantile=one["quantile"], within_ns=one["within_ns"], low=low, high=high)

    def offer(self, one: dict[str, Any]) -> dict[str, Any]:
        """One load; its requests go to the file, its figures to the engine."""
        number = self.loads
        self.loads += 1
        random = numpy.random.default_rng([one["seed"], 5])
        with Path(self.plan["bodies"]).open("w+b") as bodies:
            if one["kind"] in ("server", "search"):
                moments = load.arrivals(one["arrivals"], one["rate"], one["warmup_s"] + one["window_s"], one["seed"])
                generator = self.generator(bodies, one["rate"] * self.plan["timeout_s"])
                try:
                    edges: dict[str, int] = {}

                    def started(start_ns: int) -> None:
                        edges["opens_ns"] = start_ns + int(one["warmup_s"] * 1e9)
                        edges["closes_ns"] = edges["opens_ns"] + int(one["window_s"] * 1e9)
                        tell("load", load=number, kind=one["kind"], rate=one["rate"], **edges)

                    log = generator.open_loop(moments, random.integers(0, len(self.golden), len(moments)), started)
                    order = generator.order
                finally:
                    generator.close()
            else:
                now = time.perf_counter_ns()
                edges = {
                    "opens_ns": now + int(one["warmup_s"] * 1e9),
                    "closes_ns": now + int((one["warmup_s"] + one["window_s"]) * 1e9),
                }
                tell("load", load=number, kind=one["kind"], rate=None, **edges)
                seconds = one["warmup_s"] + one["window_s"]
                # As many as a server could answer in that time at 20,000 a second.
                choice = random.integers(0, len(self.golden), int(seconds * 20_000))
                log, order = self.closed(one["concurrency"], seconds, choice, bodies)
            # The engine reads the server's CPU at the window's end, which comes after the last answer.
            time.sleep(max(0.0, (edges["closes_ns"] - time.perf_counter_ns()) / 1e9 + EDGE_S))
            verdicts = self.judge(log, order, bodies)
        row = figures(one, log, verdicts, edges, self.shards.count if self.shards else 1)
        row |= {
            "load": number,
            "request_bytes": round(sum(map(len, self.transport.requests)) / len(self.transport.requests)),
            "encode_us": self.encode_ns / 1e3,
            "decode_us": self.decode_ns / 1e3,
        }
        if row["saturated"]:
            # The server may still work on what was given up: an answer to this one says that it is through.
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.transport.ask(0, DRAIN_S)
        self.store(number, log, verdicts)
        tell("done", row=row)
        return row

    def store(self, number: int, log: load.Log, verdicts: dict[int, bool]) -> None:
        from assay import store

        if self.writer is None:
            self.partial = Path(self.plan["output"]).with_suffix(".partial-requests")
            self.writer = store.request_writer(self.partial)
        self.writer.write_table(store.request_table(self.plan["trial"], number, log, verdicts))


def figures(
    one: dict[str, Any], log: load.Log, verdicts: dict[int, bool], edges: dict[str, int], processes: int = 1
) -> dict[str, Any]:
    """Counts of a load's window, whether the server fell behind, and what makes the load invalid (M43, M44)."""
    opens, closes = edges["opens_ns"], edges["closes_ns"]
    window = (log.scheduled >= opens) & (log.scheduled < closes)
    answered = window & (log.status == 200)
    fired = int(((log.fired >= opens) & (log.fired < closes)).sum())
    completed = int(((log.done >= opens) & (log.done < closes) & (log.status == 200)).sum())
    response = (log.done - log.scheduled)[answered]
    wrong = sum(not verdict for verdict in verdicts.values())
    errors = window & (log.status != 200)
    scheduled = int(window.sum())
    wall_ns = max(1, int(log.done.max() - log.scheduled.min())) if len(log) else 1
    row: dict[str, Any] = {
        "kind": one["kind"],
        "rate": one.get("rate"),
        "arrivals": one.get("arrivals"),
        "seed": one["seed"],
        "concurrency": one.get("concurrency"),
        **edges,
        "scheduled": scheduled,
        "fired": fired,
        "completed": completed,
        "errors": int(errors.sum()),
        "errors_by_kind": json.dumps(describe(log.status[errors])),
        "mismatches": wrong,
        "connections": log.connections,
        "generator_cpu_share": log.cpu_ns / wall_ns / processes,
        "generator_cpu_us": log.cpu_ns / 1e3 / max(1, len(log)),
    }
    open_loop = one["kind"] in ("server", "search")
    # An error is an answer; a request that timed out or was turned away for want of room is none.
    answers = int(((log.done >= opens) & (log.done < closes) & ~numpy.isin(log.status, SHED)).sum())
    saturated = open_loop and fired - answers > max((1 - tails.SATURATED) * fired, IN_FLIGHT)
    codes = []
    if wrong:
        codes.append("MISMATCH")
    if open_loop and scheduled:
        late = numpy.percentile(response, 99) if len(response) else 0.0
        allowed = max(LAG_NS, LAG_SHARE * late)
        lag = numpy.percentile((log.fired - log.scheduled)[window], 99)
        sent = window & (log.sent > 0)
        pool = numpy.percentile((log.sent - log.fired)[sent], 99) if sent.any() else 0.0
        row |= {"lag_p99_ns": int(lag), "pool_wait_p99_ns": int(pool)}
        if lag > allowed:
            codes.append("LAG")
        if abs(fired - scheduled) > max(ARRIVALS_SHARE * scheduled, IN_FLIGHT):
            codes.append("ARRIVALS")
        if row["generator_cpu_share"] > CPU_SHARE:
            codes.append("GENERATOR_CPU")
        if not saturated and pool > allowed:
            codes.append("POOL_WAIT")
    if not saturated and errors.sum() > ERROR_SHARE * max(1, scheduled):
        codes.append("ERRORS")
    row |= {"saturated": saturated, "codes": " ".join(codes) or None}
    if one["kind"] == "search":
        over = int((response > one["within_ns"]).sum() + errors.sum())
        row["passed"] = not saturated and not codes and tails.within(over, scheduled, one["quantile"])
    return row


def describe(status: numpy.ndarray) -> dict[str, int]:
    """Statuses that are not 200, by name, with their number."""
    counts = collections.Counter(int(value) for value in status if value != 200)
    return {load.ERRORS.get(value, f"status {value}"): count for value, count in sorted(counts.items())}


def join_network(pid: int) -> None:
    """Enter the network namespace of a process; its user namespace first where it has one of its own."""
    system = ctypes.CDLL(None, use_errno=True)

    def enter(kind: str, flag: int) -> None:
        own, its = Path(f"/proc/self/ns/{kind}"), Path(f"/proc/{pid}/ns/{kind}")
        if own.readlink() == its.readlink():
            return
        with its.open("rb") as namespace:
            if system.setns(namespace.fileno(), flag):
                raise PlanError(f"cannot join the server's network: setns: {os.strerror(ctypes.get_errno())}")

    enter("user", CLONE_NEWUSER)
    enter("net", CLONE_NEWNET)


if __name__ == "__main__":
    main()
