"""One serving trial, from its place in the plan to its row: a server in its cores, a client in others."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from assay import machine, runner, store, wire
from assay.environment import Environment
from assay.plan import Case, Trial
from assay.runner import Ending
from assay.scenario import Scenario
from assay.store import TrialFile
from assay.tool import Tool
from assay.tree import Tree
from assay.trial import UNKNOWN_RESOURCES, base_row, by_role, keep_log, limits, scratch_folder

HOST = "127.0.0.1"
PORTS = (8080, 8081, 8082)  # in a network of the trial's own; elsewhere the worker finds free ones
FAILURE_CODES = {"timeout": "timeout", "MISMATCH": "invalid"}


def cores() -> tuple[list[int], list[int]]:
    """Of the server and of the generator, disjoint; both empty where there is only one (M42)."""
    available = machine.cores()
    if len(available) < 2:
        return [], []
    generator = available[-1]
    # The other thread of the generator's physical core would be shared after all; left idle where there are more.
    others = [core for core in available[:-1] if core not in machine.siblings(generator)]
    return others or available[:-1], [generator]


def threads(case: Case, server_cores: list[int]) -> int:
    """Of each replica: the server's cores divided among them (M42)."""
    return max(1, len(server_cores) // case.workers)


def job(
    case: Case, scenario: Scenario, options: dict[str, Any], model: Path, server_cores: list[int]
) -> dict[str, Any]:
    """The fields of `benchmarks.contract.Serving`, without the scratch folder."""
    return {
        "workload": scenario.workload,
        "options": options,
        "model": str(model),
        "device": case.device,
        "replicas": case.workers,
        "threads": threads(case, server_cores),
        "host": HOST,
        "ports": PORTS,
        "cores": server_cores,
        "address": case.address,
        "settings": case.settings,
    }


def loads(scenario: Scenario, seed: int) -> Iterator[dict[str, Any]]:
    """What the client offers, in order: lower rates first, so that no load meets another's backlog."""
    load = scenario.load
    assert load
    common = {"warmup_s": load.warmup, "window_s": load.window, "seed": seed}
    if load.single_stream:
        yield {**common, "kind": "single_stream", "window_s": load.single_stream, "concurrency": 1}
    for rate in sorted(load.rates):
        yield {**common, "kind": "server", "rate": rate, "arrivals": load.arrivals}
    if load.slo:
        yield {
            **common,
            "kind": "search",
            "arrivals": load.arrivals,
            "window_s": load.slo.window,
            "start": load.slo.start,
            "ceiling": load.slo.ceiling,
            "quantile": load.slo.quantile,
            "within_ns": int(load.slo.within * 1e9),
        }
    if load.offline:
        yield {**common, "kind": "offline", "window_s": load.offline, "concurrency": load.concurrency}


class Client:
    """The client's process as the runner sees it (`runner.Companion`)."""

    def __init__(self, plan: dict[str, Any], tree: Tree, log: Path, progress: Callable[[str], None]) -> None:
        self.tree, self.progress = tree, progress
        self.log = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "assay.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            # One thread, so that it may enter the server's namespaces.
            env={**os.environ, **dict.fromkeys(runner.THREADS, "1")},
            start_new_session=True,
        )
        tree.before.add(self.process.pid)
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
        self.failure: tuple[str, str] | None = None  # code and message
        self.ended = False
        self.server_cpu: dict[int, dict[str, float]] = {}  # load to edge to CPU seconds of the tree
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
            self.server_cpu.setdefault(edge[1], {})[edge[2]] = self.tree.cpu_so_far()
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
            cpu = self.server_cpu.get(row["load"], {})
            spent = cpu["closes"] - cpu["opens"] if len(cpu) == 2 else None
            rows.append({"run": run, "trial": trial, **row, "server_cpu_s": spent})
        return rows


def affinity(process: psutil.Process) -> list[int]:
    try:
        return list(process.cpu_affinity())
    except (psutil.Error, AttributeError):
        return []


def execute(
    trial: Trial,
    number: int,
    scenario: Scenario,
    tool: Tool,
    environment: Environment,
    root: Path,
    options: dict[str, Any],
    model: Path,
    run: str,
    file: TrialFile,
    log: Path,
    seed: int,
    on_phase: Callable[[str], None],
    echo: Callable[[wire.Record], None] | None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a trial that can run; returns its row and those of its loads. `seed` is of the block's schedules."""
    assert environment.python
    assert scenario.load
    clients: list[Client] = []
    endpoints: list[wire.Endpoint] = []
    load = scenario.load
    isolated = trial.case.address is None
    server_cores, generator_cores = cores()
    requests = store.requests_path(file.path)
    bounds = limits(scenario)

    def sink(record: wire.Record) -> None:
        if echo:
            echo(record)
        if isinstance(record, wire.Endpoint):
            endpoints.append(record)

    with scratch_folder() as scratch:

        def companion(endpoint: wire.Endpoint, tree: Tree) -> Client:
            plan = {
                "url": endpoint.url,
                "request": endpoint.request,
                "response": endpoint.response,
                "headers": endpoint.headers,
                "payloads": str(model / "payloads.npy"),
                "golden": str(model / "golden.npy"),
                "loads": list(loads(scenario, seed)),
                "ready_s": bounds.launch_s,
                "idle_s": load.idle,
                "timeout_s": load.request_timeout,
                "cores": generator_cores,
                "namespace_of": tree.root if isolated and not endpoint.exposed else None,
                "bodies": str(scratch.parent / "bodies"),
                "output": str(requests),
                "trial": number,
            }
            clients.append(Client(plan, tree, scratch.with_suffix(".log"), on_phase))
            return clients[-1]

        with on_cores(generator_cores):
            ending = runner.run(
                runner.Launch(
                    python=environment.python,
                    request={
                        "action": "serve",
                        "module": tool.module,
                        "isolated": isolated,
                        "exposed": "" if isolated else "attached to a server of the host's network",
                        "job": {
                            **job(trial.case, scenario, options, model, server_cores),
                            "scratch": str(scratch),
                        },
                    },
                    scratch=scratch,
                    environment=runner.environment(
                        environment.python,
                        scratch,
                        [root, tool.import_root],
                        run,
                        threads(trial.case, server_cores),
                        trial.hash_seed,
                        trial.padding,
                    ),
                    companion=companion,
                ),
                # The client waits so long for a first answer; the engine a little longer, to hear why there was none.
                dataclasses.replace(bounds, launch_s=bounds.launch_s + runner.GRACE_S),
                sink,
                on_phase,
            )
        keep_log(scratch, log)
    for metric, (unit, stamps, values) in ending.series.items():
        file.add(-1, metric, unit, "trial", 0, stamps, values)
    client = clients[0] if clients else None
    row = base_row(trial, number, environment.digest, run)
    row |= ending_row(ending)
    if endpoints:
        row |= {"exposed": endpoints[0].exposed, "dialect": f"{endpoints[0].request} -> {endpoints[0].response}"}
    if client:
        row |= client_row(client, ending, scenario)
        if row["outcome"] == "ok":
            row |= judge(client, server_cores, isolated)
    rows = client.load_rows(run, number) if client else []
    if not isolated:
        # The server is somebody else's: what was seen here is the waiting worker's share alone (M58).
        row |= UNKNOWN_RESOURCES
        rows = [{**one, "server_cpu_s": None} for one in rows]
    for leftover in requests.parent.glob(f"{requests.stem}.partial-requests"):
        leftover.unlink()
    return row, rows


class on_cores:  # noqa: N801, a context manager reads as a function
    """Keeps the engine, and the sampler in it, on the generator's side (M42)."""

    def __init__(self, wanted: list[int]) -> None:
        self.wanted = wanted

    def __enter__(self) -> None:
        self.before = machine.cores()
        if self.wanted:
            os.sched_setaffinity(0, self.wanted)

    def __exit__(self, *_: object) -> None:
        if self.wanted:
            os.sched_setaffinity(0, self.before)


def ending_row(ending: Ending) -> dict[str, Any]:
    """What the engine saw, whatever the outcome. The worker, which only waits, is not part of the server."""
    launched = ending.phases.get("launch")
    packaged = ending.phases.get("package", launched)
    return {
        "outcome": ending.outcome,
        "phase": ending.phase,
        "error": ending.error or None,
        "log_tail": ending.log_tail or None,
        "exit_code": ending.exit_code,
        "survivors": json.dumps(ending.survivors),
        "import_ns": packaged - ending.spawned_ns if packaged else None,
        "package_ns": launched - packaged if launched and packaged else None,
        "wall_ns": ending.gone_ns - ending.spawned_ns,
        "cpu_s": ending.cpu_s,
        "cpu_method": "wait4",
        "peak_rss": ending.rss.total or None,
        "rss_by_role": json.dumps(by_role(ending.rss, [])),
        "peak_pss": ending.pss.total or None,
        "pss_by_role": json.dumps(by_role(ending.pss, [])),
        "sampler_cpu_s": ending.sampler_cpu_s,
    }


def client_row(client: Client, ending: Ending, scenario: Scenario) -> dict[str, Any]:
    """Phases of the cold start, the bracket, and the cores as they were read back."""
    launched = ending.phases["launch"]
    row: dict[str, Any] = {"cores": json.dumps(client.affinity)}
    if client.ready:
        row |= {
            "listening_ns": client.ready["listening_ns"] - launched,
            "answering_ns": client.ready["answering_ns"] - launched,
            "ready_ns": client.ready["at_ns"] - launched,
            "launch_ns": client.ready["at_ns"] - launched,
        }
        closed = ending.phases.get("teardown", ending.gone_ns)
        row |= {"measure_ns": closed - client.ready["at_ns"], "teardown_ns": ending.gone_ns - closed}
    if client.bracket:
        row |= {
            "slo_quantile": client.bracket["quantile"],
            "slo_within_ns": client.bracket["within_ns"],
            "slo_low": client.bracket["low"],
            "slo_high": client.bracket["high"],
        }
    return row


def judge(client: Client, server_cores: list[int], isolated: bool) -> dict[str, Any]:
    """The outcome of a trial whose server ran until it was asked to stop.

    A load that is not valid is drawn as such and nothing more; a wrong prediction makes the whole trial invalid.
    """
    if client.failure:
        code, error = client.failure
        outcome = FAILURE_CODES.get(code, "error")
        return {
            "outcome": outcome,
            "codes": code if outcome == "invalid" else None,
            "error": error,
            "phase": client.phase,
        }
    if not client.ended:
        return {"outcome": "error", "error": "the load generator ended early; see the log", "phase": client.phase}
    wrong = sum(row["mismatches"] for row in client.rows)
    if wrong:
        return {"outcome": "invalid", "codes": "MISMATCH", "error": f"{wrong} predictions differ from the golden ones"}
    strayed = set(client.affinity.get("server", [])) - set(server_cores)
    if isolated and server_cores and strayed:
        return {
            "outcome": "invalid",
            "codes": "PINNING",
            "error": f"the server also ran on cores {sorted(strayed)}, beside the generator",
        }
    dropped = [row for row in client.rows if "ERRORS" in (row["codes"] or "")]
    if len(dropped) == len(client.rows) and client.rows:
        return {
            "outcome": "invalid",
            "codes": "ERRORS",
            "error": f"requests failed under every load: {dropped[0]['errors_by_kind']}",
        }
    return {}
