"""One serving trial, from its place in the plan to its row: a server in its cores, a client in others."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay import machine, runner, store, wire
from assay.companion import Client
from assay.plan import Case
from assay.runner import Ending
from assay.scenario import Scenario
from assay.tree import Tree
from assay.trial import UNKNOWN_RESOURCES, Attempt, base_row, by_role, keep_log, limits, scratch_folder

HOST = "127.0.0.1"
PORTS = (8080, 8081, 8082, 8083)  # in a network of the trial's own; elsewhere the worker finds free ones
FAILURE_CODES = {"timeout": "timeout", "MISMATCH": "invalid"}


def cores(generators: int = 1) -> tuple[list[int], list[int]]:
    """Of the server and of the generators, disjoint; both empty where there is only one (M42)."""
    available = machine.cores()
    if len(available) < 2:
        return [], []
    own = available[-min(generators, len(available) - 1) :]
    # The other thread of a generator's physical core would be shared after all; left idle where there are more.
    shared = {sibling for core in own for sibling in machine.siblings(core)}
    others = [core for core in available if core not in own]
    return [core for core in others if core not in shared] or others, own


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
        "second": str(model / "second") if scenario.load and scenario.load.probes else None,
    }


def loads(scenario: Scenario, seed: int) -> Iterator[dict[str, Any]]:
    """What the client offers, in order: what leaves no backlog first, then rising rates."""
    load = scenario.load
    assert load
    common = {"warmup_s": load.warmup, "window_s": load.window, "seed": seed}
    if load.single_stream:
        yield {**common, "kind": "single_stream", "window_s": load.single_stream, "concurrency": 1}
    if load.offline:
        yield {**common, "kind": "offline", "window_s": load.offline, "concurrency": load.concurrency}
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


def execute(
    one: Attempt, options: dict[str, Any], model: Path, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a trial that can run; returns its row and those of its loads. `seed` is of the block's schedules."""
    assert one.scenario.load
    clients: list[Client] = []
    endpoints: list[wire.Endpoint] = []
    exposed: list[str] = []
    load = one.scenario.load
    isolated = one.trial.case.address is None
    server_cores, generator_cores = cores(load.generators)
    requests = store.requests_path(one.file.path)
    bounds = limits(one.scenario)

    def sink(record: wire.Record) -> None:
        if one.echo:
            one.echo(record)
        if isinstance(record, wire.Network):
            exposed.append(record.exposed)
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
                "second": str(model / "second") if load.probes else None,
                "offers": endpoint.offers if load.probes else {},
                "loads": list(loads(one.scenario, seed)),
                "ready_s": bounds.launch_s,
                "idle_s": load.idle,
                "timeout_s": load.request_timeout,
                "cores": generator_cores,
                "namespace_of": None if exposed[-1] else tree.root,
                "bodies": str(scratch.parent / "bodies"),
                "output": str(requests),
                "trial": one.number,
            }
            clients.append(Client(plan, tree, scratch, one.on_phase))
            return clients[-1]

        with on_cores(generator_cores):
            ending = runner.run(
                one.launch(
                    "serve",
                    scratch,
                    {
                        "job": {
                            **job(one.trial.case, one.scenario, options, model, server_cores),
                            "scratch": str(scratch),
                        },
                    },
                    threads(one.trial.case, server_cores),
                    companion,
                ),
                # The client waits so long for a first answer; the engine a little longer, to hear why there was none.
                dataclasses.replace(bounds, launch_s=bounds.launch_s + runner.GRACE_S),
                sink,
                one.on_phase,
            )
        keep_log(scratch, one.log)
    for metric, (unit, stamps, values) in ending.series.items():
        one.file.add(-1, metric, unit, "trial", 0, stamps, values)
    client = clients[0] if clients else None
    row = base_row(one.trial, one.number, one.environment.digest, one.run)
    row |= ending_row(ending)
    row["exposed"] = exposed[-1] if exposed else None
    if endpoints:
        row["dialect"] = f"{endpoints[0].request} -> {endpoints[0].response}"
    if client:
        row |= client_row(client, ending, one.scenario)
        if row["outcome"] == "ok":
            row |= judge(client, server_cores, isolated)
    rows = client.load_rows(one.run, one.number) if client else []
    if not isolated:
        # The server is somebody else's: what was seen here is the waiting worker's share alone (M58).
        row |= UNKNOWN_RESOURCES
        unknown = dict.fromkeys(("server_cpu_s", "batch_sizes", "answering_processes"))
        rows = [{**load_row, **unknown} for load_row in rows]
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
    if client.findings:
        row["findings"] = json.dumps(client.findings)
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
