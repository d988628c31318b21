"""One request in on stdin, a stream of records out on a descriptor of its own: the inside end of the wire.

Started by the engine as `python -m benchmarks.worker FD`. Standard output and error stay free for the tool.
A request names what to do: `train`, `serve`, `infer` or `probe` (a trial; `exposed` says why it must share the host's
network, empty: it gets one of its own where the kernel allows it), `reference` (the trace that training is checked
against), `inputs` and `model` (the files that tools are given). A second line on stdin ends a server in its own
way; end of file means stop at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import contract, inputs, isolation, loop, probes

PROTOCOL = 4
BATCH = 10_000  # samples a record: lines stay short enough to parse without a stall
TRACEBACK_LINES = 30
TICK_S = 0.2  # how late the end of a server may be noticed
stop_asked = threading.Event()


class Wire:
    """Writes records as JSON lines."""

    def __init__(self, descriptor: int) -> None:
        # Not inherited: a daemon that outlives the trial must not keep the engine waiting.
        os.set_inheritable(descriptor, False)
        self.file = os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")

    def send(self, record: str, **fields: Any) -> None:
        self.file.write(json.dumps({"record": record, **fields}, separators=(",", ":")) + "\n")

    def phase(self, name: str) -> None:
        self.send("phase", name=name, at_ns=time.perf_counter_ns())

    def samples(self, rank: int, metric: str, unit: str, start: int, at_ns: list[int], values: list[Any]) -> None:
        """Values of one metric of one rank; `start` is the index of the first."""
        for offset in range(0, len(values), BATCH):
            part = slice(offset, offset + BATCH)
            self.send(
                "samples",
                rank=rank,
                metric=metric,
                unit=unit,
                start=start + offset,
                at_ns=at_ns[part],
                values=values[part],
            )

    def rank(self, log: contract.RankLog) -> None:
        """A rank's log: its facts first, then its samples."""
        fields = dataclasses.asdict(log)
        ends, losses, quality = fields.pop("step_end_ns"), fields.pop("losses"), fields.pop("quality")
        self.send("rank", **fields)
        starts = [log.stamps["window_open"], *ends]
        first = log.window[0]
        times = [end - start for start, end in zip(starts, ends, strict=False)]
        self.samples(log.rank, "step_time", "ns", first, ends, times)
        self.samples(log.rank, "loss", "1", 0, [], losses)
        for steps, at_ns, value in quality:
            self.samples(log.rank, "quality", "1", steps, [at_ns], [value])


def train(request: dict[str, Any], wire: Wire) -> None:
    """Run a trial: hand the job to the tool, pass on what its ranks logged."""
    tool: contract.Trainer = importlib.import_module(request["module"])
    job = contract.Training(**{**request["job"], "cores": tuple(request["job"]["cores"])})
    wire.phase("launch")
    logs = list(tool.train(job))
    wire.phase("teardown")
    for log in logs:
        wire.rank(log)


def reference(request: dict[str, Any], wire: Wire) -> None:
    """Train alone, with the gradient in as many chunks as the trial has ranks; send the trace.

    It doubles as the pilot: the number of window steps is settled here, before any tool is measured, so that
    every tool of the case does the same number.
    """
    job = contract.Training(**{**request["job"], "cores": tuple(request["job"]["cores"])})
    chunks, ranks = request["chunks"], request["ranks"]
    alone = dataclasses.replace(job, workers=1, cores=job.cores[:1])
    wire.phase("launch")
    pilot = loop.run(dataclasses.replace(alone, window_steps=max(5, job.warmup_steps)), 0, loop.chunked_step(chunks))
    opened, closed = pilot.stamps["window_open"], pilot.stamps["window_close"]
    step_s = (closed - opened) / 1e9 / len(pilot.step_end_ns)
    # Ranks share the work, so a step of theirs may take down to 1 / ranks of one process's.
    steps = max(job.window_steps, -int(-request["at_least_s"] * ranks // step_s))
    wire.send("pilot", step_s=step_s, window_steps=steps)
    log = loop.run(dataclasses.replace(alone, window_steps=steps), 0, loop.chunked_step(chunks))
    wire.phase("teardown")
    wire.rank(log)


def make_inputs(request: dict[str, Any], wire: Wire) -> None:
    """Write a workload's input files; send their digests."""
    workload: contract.Workload = loop.load_workload(request["workload"])
    folder = Path(request["folder"])
    wire.phase("measure")  # has the whole of a trial's time; launching has minutes
    workload.make(folder, request["options"], request["seed"])
    wire.send("digests", files=inputs.digests(folder))


def serve(request: dict[str, Any], wire: Wire) -> None:
    """Run a trial: have the tool serve until the engine asks it to stop."""
    fields = request["job"]
    # In a network of the trial's own every port is free; in the host's, those that the engine thought of may not be.
    ports = isolation.free_ports(fields["host"], len(fields["ports"])) if request["exposed"] else fields["ports"]
    job = contract.Serving(**{**fields, "ports": tuple(ports), "cores": tuple(fields["cores"])})
    if job.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    tool: Any = importlib.import_module(request["module"])
    if hasattr(tool, "package"):
        wire.phase("package")
        tool.package(job)
    wire.phase("launch")
    server: contract.Server = tool
    with server.serve(job) as endpoint:
        wire.send(
            "endpoint",
            url=endpoint.url,
            request=endpoint.dialect.request,
            response=endpoint.dialect.response,
            headers=endpoint.headers,
            offers=offers(endpoint),
        )
        while not stop_asked.wait(TICK_S):
            code = endpoint.process.poll() if endpoint.process else None
            if code is not None:
                raise ServerEnded(f"the server ended by itself with exit code {code}")
        wire.phase("teardown")


ABSENT = (contract.Declined, contract.Refused)


def offers(endpoint: contract.Endpoint) -> dict[str, Any]:
    """What the endpoint says of each probe: a URL, or why there is none."""
    said = {name: getattr(endpoint, name) for name in ("metrics", "second", "grpc", "api")}
    return {
        name: {type(offer).__name__.lower(): offer.said} if isinstance(offer, ABSENT) else offer
        for name, offer in said.items()
        if offer
    }


def infer(request: dict[str, Any], wire: Wire) -> None:
    """Run a trial: one pass that meets everything cold, then warm ones, each into a folder of its own."""
    job = contract.Inference(**request["job"])
    cores = request["cores"]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    tool: contract.Inferrer = importlib.import_module(request["module"])
    wire.phase("launch")
    ends, times = [], []
    with tool.infer(job) as one_pass:
        wire.phase("warmup")
        for number in range(1 + request["passes"]):
            if number == 1:
                wire.phase("measure")
            began = time.perf_counter_ns()
            one_pass(f"{request['targets']}/{number}")
            ends.append(time.perf_counter_ns())
            times.append(ends[-1] - began)
        wire.phase("teardown")
    wire.samples(0, "pass_time", "ns", 0, ends, times)


class ServerEnded(Exception):
    """It was asked to serve until told otherwise."""


def probe(request: dict[str, Any], wire: Wire) -> None:
    """Run a trial: ask a tool about the subjects that the scenario names, or about all that it has.

    Raises ValueError where the scenario names one that there is not.
    """
    named = request["subjects"]
    if unknown := set(named) - probes.CHECKS.keys():
        raise ValueError(f"there is no subject {', '.join(sorted(unknown))}; there are {', '.join(probes.CHECKS)}")
    fields = request["job"]
    ports = isolation.free_ports(fields["host"], len(fields["ports"])) if request["exposed"] else fields["ports"]
    job = contract.Probing(**{**fields, "ports": tuple(ports)})
    tool: contract.Prober = importlib.import_module(request["module"])
    wire.phase("launch")
    with tool.probe(job) as subjects:
        wire.phase("measure")
        for name in [name for name in subjects if name in named or not named]:
            for found in probes.ask(name, subjects[name], job):
                wire.send("finding", **dataclasses.asdict(found))
        wire.phase("teardown")


def make_model(request: dict[str, Any], wire: Wire) -> None:
    """Train the model that servers serve; send the digests of its files."""
    from benchmarks import model

    wire.phase("measure")
    arguments = {key: request[key] for key in ("inputs", "workload", "options", "seed", "rows")}
    folder = Path(request["folder"])
    model.make(folder, **arguments)
    if request["second"]:
        # Other weights, from fewer steps: what answers for the first then answers wrongly.
        model.make(folder / "second", **arguments, steps=model.STEPS // 2)
    if request["data_set"]:
        model.make_rows(folder, folder, request["data_set"], request["parts"], request["seed"])
    wire.send("digests", files=inputs.digests(folder))


ACTIONS: dict[str, Callable[[dict[str, Any], Wire], None]] = {
    "train": train,
    "serve": serve,
    "infer": infer,
    "probe": probe,
    "model": make_model,
    "reference": reference,
    "inputs": make_inputs,
}


def take_input() -> int:
    """Move standard input to a descriptor that children do not inherit; the tool gets an empty one.

    A thread that waits in `sys.stdin` would hold its lock, and a forked child would wait for that lock forever.
    """
    descriptor = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return descriptor


def watch_input(descriptor: int) -> None:
    """A line asks for a stop in the tool's own way. At the end of input the engine is gone: end the whole session."""
    while os.read(descriptor, 4096):
        stop_asked.set()
    for process in Path("/proc").glob("[0-9]*"):
        # The rest of the session first: servers have process groups of their own.
        with contextlib.suppress(OSError, ValueError):
            if int(process.name) != os.getpid() and os.getsid(int(process.name)) == os.getsid(0):
                os.kill(int(process.name), signal.SIGTERM)
    os.killpg(os.getpgrp(), signal.SIGTERM)


def main() -> None:
    wire = Wire(int(sys.argv[1]))
    wire.send("hello", protocol=PROTOCOL, python=sys.version.split()[0], pid=os.getpid(), at_ns=time.perf_counter_ns())
    descriptor = take_input()
    with os.fdopen(os.dup(descriptor), "rb") as lines:
        request = json.loads(lines.readline())
    if "exposed" in request:
        if not request["exposed"]:
            # Before any thread is started: only a process of one thread may enter a user namespace.
            request["exposed"] = isolation.enter()
        wire.send("network", exposed=request["exposed"])
    threading.Thread(target=watch_input, args=[descriptor], daemon=True).start()
    try:
        ACTIONS[request["action"]](request, wire)
    except contract.Unsupported as reason:
        wire.send("unsupported", reason=str(reason))
    except ServerEnded as error:
        wire.send("failed", kind="crashed", error=str(error), traceback="")
    except ImportError as error:
        wire.send("failed", kind="import", error=f"{type(error).__name__}: {error}", traceback=tail())
    except Exception as error:
        wire.send("failed", kind="error", error=f"{type(error).__name__}: {error}", traceback=tail())
    else:
        wire.send("done", at_ns=time.perf_counter_ns())


def tail() -> str:
    return "\n".join(traceback.format_exc().splitlines()[-TRACEBACK_LINES:])


if __name__ == "__main__":
    main()
