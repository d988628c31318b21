"""The process that loads a server: waits until it answers rightly, offers the planned loads, checks every response.

Started by the engine as `python -m assay.client`, apart from the server in process and core. A plan comes as
one line of JSON on stdin; events leave as JSON lines on stdout; requests go to a parquet file.
"""

from __future__ import annotations

import collections
import ctypes
import http.client
import io
import json
import os
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

import numpy

from assay import load, tails

POLL_S = 0.02  # between two attempts to get a first answer
ATTEMPT_S = 30.0  # a first prediction may load the model
LAG_NS, LAG_SHARE = 1_000_000, 0.1  # rule M43: p99 of lag and pool wait, absolute or as a share of the response's
ARRIVALS_SHARE, ERROR_SHARE, CPU_SHARE = 0.01, 0.001, 0.7
IN_FLIGHT = 5  # requests that may be under way when a window closes without the server having fallen behind
REPEATS = 2  # of a search's load that was not valid
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
ABSOLUTE, RELATIVE = 1e-4, 1e-5  # rule M35, float32


class PlanError(Exception):
    """The plan cannot be carried out, with the reason."""


def main() -> None:
    """Entry point."""
    plan = json.loads(sys.stdin.readline())
    try:
        Client(plan).run()
    except PlanError as fault:
        tell("failed", error=str(fault), code=getattr(fault, "code", ""))
    else:
        tell("end")


def tell(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


class Codec:
    """Tensors to request bodies and back, in an endpoint's dialect."""

    def __init__(self, request: str, response: str) -> None:
        self.request, self.path = request, [part for part in response.split(".") if part]

    def encode(self, rows: numpy.ndarray) -> bytes:
        """An array of shape (rows, ...) as a request's body."""
        text = self.request.replace("$shape", json.dumps(rows.shape))
        text = text.replace("$rows", json.dumps(rows.tolist()))
        return text.replace("$flat", json.dumps(rows.ravel().tolist())).encode()

    def decode(self, body: bytes) -> numpy.ndarray:
        """The predictions in a response, flat. Raises ValueError where there are none."""
        found = json.loads(body)
        try:
            for part in self.path:
                found = found[int(part)] if isinstance(found, list) else found[part]
            return numpy.asarray(found, dtype=numpy.float64).ravel()
        except (KeyError, IndexError, TypeError) as fault:
            raise ValueError(f"no predictions at {'.'.join(self.path)!r}") from fault


def right(found: numpy.ndarray, golden: numpy.ndarray) -> bool:
    """Whether predictions are the golden ones, both flat."""
    return found.shape == golden.shape and bool(numpy.allclose(found, golden, atol=ABSOLUTE, rtol=RELATIVE))


class Client:
    """One server under the loads of one trial."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        url = urllib.parse.urlsplit(plan["url"])
        if url.scheme != "http" or not url.hostname:
            raise PlanError(f"{plan['url']}: only http://host[:port]/path can be loaded")
        self.host, self.port = url.hostname, url.port or 80
        self.path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self.codec = Codec(plan["request"], plan["response"])
        payloads = numpy.load(plan["payloads"])
        self.golden = [golden.astype(numpy.float64).ravel() for golden in numpy.load(plan["golden"])]
        self.contents = [self.codec.encode(rows) for rows in payloads]
        self.requests = [self.message(body) for body in self.contents]
        started = time.process_time_ns()
        for rows in payloads:
            self.codec.encode(rows)
        self.encode_ns = (time.process_time_ns() - started) / len(payloads)
        self.decode_ns = 0.0
        self.writer: Any = None
        self.loads = 0

    def message(self, body: bytes) -> bytes:
        """A whole HTTP/1.1 request."""
        headers = {
            "Host": f"{self.host}:{self.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **self.plan["headers"],
        }
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def run(self) -> None:
        if self.plan["namespace_of"]:
            join_network(self.plan["namespace_of"])
        if self.plan["cores"]:
            os.sched_setaffinity(0, self.plan["cores"])
        self.wait_until_ready()
        self.check_all()
        time.sleep(self.plan["idle_s"])
        for one in self.plan["loads"]:
            if one["kind"] == "search":
                self.search(one)
            else:
                self.offer(one)
        if self.writer:
            self.writer.close()

    def wait_until_ready(self) -> None:
        """Ask until the first correct prediction; tell when something listened, answered and answered rightly."""
        deadline = time.monotonic() + self.plan["ready_s"]
        moments: dict[str, int] = {}
        last = "nothing listens"
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=ATTEMPT_S)
            try:
                connection.connect()
                moments.setdefault("listening", time.perf_counter_ns())
                status, body = self.ask(connection, 0)
                now = time.perf_counter_ns()
                moments.setdefault("answering", now)
                if status == 200 and right(self.codec.decode(body), self.golden[0]):
                    tell("ready", at_ns=now, **{f"{name}_ns": value for name, value in moments.items()})
                    return
                last = f"HTTP {status}: {body[:200]!r}" if status != 200 else f"a wrong answer: {body[:200]!r}"
            except ValueError as fault:
                last = f"an answer that cannot be read: {fault}"
            except (OSError, http.client.HTTPException) as fault:
                last = last if "listening" in moments and "HTTP" in last else f"{type(fault).__name__}: {fault}"
            finally:
                connection.close()
            time.sleep(POLL_S)
        error = PlanError(f"no correct prediction within {self.plan['ready_s']:.0f} s; last: {last}")
        error.code = "MISMATCH" if "answer" in last else "timeout"  # type: ignore[attr-defined]
        raise error

    def ask(self, connection: http.client.HTTPConnection, payload: int) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", **self.plan["headers"]}
        connection.request("POST", self.path, self.contents[payload], headers)
        response = connection.getresponse()
        return response.status, response.read()

    def check_all(self) -> None:
        """Every payload once, one after the other; measures what reading an answer costs here."""
        bodies = io.BytesIO()
        log = self.closed(1, 60.0, numpy.arange(len(self.contents)), bodies)
        started = time.process_time_ns()
        verdicts = self.judge(log[0], log[1], bodies)
        self.decode_ns = (time.process_time_ns() - started) / max(1, len(verdicts))
        wrong = [index for index, verdict in verdicts.items() if not verdict]
        if wrong:
            error = PlanError(f"{len(wrong)} of {len(self.contents)} predictions differ from the golden ones")
            error.code = "MISMATCH"  # type: ignore[attr-defined]
            raise error
        if len(verdicts) < len(self.contents):
            kinds = describe(log[0].status)
            raise PlanError(f"{len(self.contents) - len(verdicts)} of {len(self.contents)} requests failed: {kinds}")

    def generator(self, bodies: io.BufferedIOBase | io.BytesIO, rate: float) -> load.Generator:
        limit = max(256, int(2 * rate * self.plan["timeout_s"]))
        return load.Generator(
            self.host,
            self.port,
            self.requests,
            bodies,  # type: ignore[arg-type]
            min(limit, 4096),
            self.plan["timeout_s"],
        )

    def closed(
        self, concurrency: int, seconds: float, payloads: numpy.ndarray, bodies: io.BufferedIOBase | io.BytesIO
    ) -> tuple[load.Log, Any]:
        generator = self.generator(bodies, 1)
        try:
            return generator.closed_loop(concurrency, seconds, payloads), generator.order
        finally:
            generator.close()

    def judge(self, log: load.Log, order: Any, bodies: io.BufferedIOBase | io.BytesIO) -> dict[int, bool]:
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
                    known = right(self.codec.decode(body), self.golden[payload])
                except ValueError:
                    known = False
                if len(seen) < 4 * len(self.golden):
                    seen[payload, body] = known
            verdicts[request] = known
        return verdicts

    def search(self, one: dict[str, Any]) -> None:
        """The largest rate whose quantile stays within the bound (M48)."""
        search = tails.Search(one["start"], one["ceiling"])
        repeats, seed = 0, one["seed"]
        while (rate := search.rate) is not None:
            seed += 1
            row = self.offer({**one, "kind": "search", "rate": rate, "seed": seed})
            if row["codes"] and not row["saturated"] and repeats < REPEATS:
                repeats += 1
                continue
            repeats = 0
            search.decide(bool(row["passed"]))
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
                generator = self.generator(bodies, one["rate"])
                try:
                    edges: dict[str, int] = {}

                    def started(start_ns: int) -> None:
                        edges["opens_ns"] = start_ns + int(one["warmup_s"] * 1e9)
                        edges["closes_ns"] = edges["opens_ns"] + int(one["window_s"] * 1e9)
                        tell("load", load=number, kind=one["kind"], rate=one["rate"], **edges)

                    log = generator.open_loop(moments, random.integers(0, len(self.contents), len(moments)), started)
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
                choice = random.integers(0, len(self.contents), int(seconds * 20_000))
                log, order = self.closed(one["concurrency"], seconds, choice, bodies)
            verdicts = self.judge(log, order, bodies)
        row = figures(one, log, verdicts, edges)
        row |= {
            "load": number,
            "request_bytes": round(sum(map(len, self.requests)) / len(self.requests)),
            "encode_us": self.encode_ns / 1e3,
            "decode_us": self.decode_ns / 1e3,
        }
        self.store(number, log, verdicts)
        tell("done", row=row)
        return row

    def store(self, number: int, log: load.Log, verdicts: dict[int, bool]) -> None:
        from assay import store

        if self.writer is None:
            self.writer = store.request_writer(Path(self.plan["output"]))
        self.writer.write_table(store.request_table(self.plan["trial"], number, log, verdicts))


def figures(one: dict[str, Any], log: load.Log, verdicts: dict[int, bool], edges: dict[str, int]) -> dict[str, Any]:
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
        "generator_cpu_share": log.cpu_ns / wall_ns,
        "generator_cpu_us": log.cpu_ns / 1e3 / max(1, len(log)),
    }
    open_loop = one["kind"] in ("server", "search")
    saturated = open_loop and fired - completed > max((1 - tails.SATURATED) * fired, IN_FLIGHT)
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
    return {load.ERRORS.get(value, f"HTTP {value}"): count for value, count in sorted(counts.items())}


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
