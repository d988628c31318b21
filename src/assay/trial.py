"""One trial, from its place in the plan to its row: request, records, check, phases, resources."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from assay import check, machine, runner, wire
from assay.environment import Environment
from assay.plan import Case, Trial
from assay.runner import Ending, Limits
from assay.sampler import Peak
from assay.scenario import Scenario
from assay.store import TrialFile
from assay.tool import Tool

THREADS = 1  # compute threads a rank: ranks are the parallelism under test, and one core is pinned to each
MEMORY_SHARE = 0.9  # of the machine's, where the scenario sets no limit
# What changes the mathematics beside the scenario's optimizer; a tool that applies another value is `invalid`.
MATHEMATICS = {
    "dampening": 0,
    "nesterov": False,
    "gradient_clipping": 0,
    "averaging": "mean",
    "precision": "float32",
}
ATTACHED = "attached to what runs in the host's network"
UNKNOWN_RESOURCES = dict.fromkeys(("cpu_s", "cpu_method", "peak_rss", "rss_by_role", "peak_pss", "pss_by_role"))
SAMPLE_PHASES = {"step_time": "measure", "loss": "train", "quality": "warmup"}


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """What a case must reproduce, and how many window steps the pilot settled on."""

    window_steps: int
    losses: tuple[float, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a trial that can run: what the `execute` of every capability is given."""

    trial: Trial
    number: int  # of the row
    scenario: Scenario
    tool: Tool
    environment: Environment
    root: Path  # of the `benchmarks` package
    run: str
    file: TrialFile
    log: Path
    on_phase: Callable[[str], None]
    echo: Callable[[wire.Record], None] | None  # sees every record first

    def launch(
        self,
        action: str,
        scratch: Path,
        request: dict[str, Any],
        threads: int = THREADS,
        companion: Callable[..., runner.Companion] | None = None,
    ) -> runner.Launch:
        """A worker that is asked for `action`, with what is common to all requests filled in."""
        assert self.environment.python
        attached = self.trial.case.address is not None
        return runner.Launch(
            python=self.environment.python,
            request={
                "action": action,
                "module": self.tool.module,
                "exposed": ATTACHED if attached else "",
                **request,
            },
            scratch=scratch,
            environment=runner.environment(
                self.environment.python,
                scratch,
                [self.root, self.tool.import_root],
                self.run,
                threads,
                self.trial.hash_seed,
                self.trial.padding,
                attached=attached,
            ),
            companion=companion,
        )


class Sink:
    """Takes a worker's records: samples go to the trial's file, the rest is held. `echo` sees each first."""

    def __init__(self, file: TrialFile, echo: Callable[[wire.Record], None] | None = None) -> None:
        self.file, self.echo = file, echo
        self.ranks: list[wire.Rank] = []
        self.losses: dict[int, list[float]] = {}
        self.quality: list[tuple[int, float]] = []  # of rank 0: at_ns, value
        self.pilot: wire.Pilot | None = None
        self.exposed: str | None = None  # why the host's network was shared

    def __call__(self, record: wire.Record) -> None:
        if self.echo:
            self.echo(record)
        if isinstance(record, wire.Rank):
            self.ranks.append(record)
        elif isinstance(record, wire.Pilot):
            self.pilot = record
        elif isinstance(record, wire.Network):
            self.exposed = record.exposed
        elif isinstance(record, wire.Samples):
            phase = SAMPLE_PHASES.get(record.metric, "trial")
            self.file.add(record.rank, record.metric, record.unit, phase, record.start, record.at_ns, record.values)
            if record.metric == "loss":
                self.losses.setdefault(record.rank, []).extend(record.values)
            elif record.metric == "quality" and record.rank == 0:
                self.quality += zip(record.at_ns, record.values, strict=True)


def job(case: Case, scenario: Scenario, options: Mapping[str, Any], inputs: Path, window_steps: int) -> dict[str, Any]:
    """The fields of `benchmarks.contract.Training`, without the scratch folder."""
    quality = scenario.quality
    available = machine.cores()
    # On an accelerator the rank's launching and autograd threads would fight for one core.
    pinned = case.device == "cpu" and case.workers <= len(available) and not case.address
    return {
        "workload": scenario.workload,
        "options": dict(options),
        "inputs": str(inputs),
        "device": case.device,
        "workers": case.workers,
        "batch": case.batch,
        "optimizer": scenario.optimizer.model_dump(),
        "requested": {**scenario.optimizer.model_dump(), **MATHEMATICS, **case.settings},
        "quality_steps": quality.steps if quality else 0,
        "quality_every": quality.every if quality else 1,
        "warmup_steps": scenario.measure.warmup.steps,
        "window_steps": window_steps,
        "seed": scenario.seed,
        "threads": THREADS,
        "cores": available[: case.workers] if pinned else [],
        "address": case.address,
        "settings": case.settings,
    }


def limits(scenario: Scenario, attached: bool = False) -> Limits:
    measure = scenario.measure
    whole = min(psutil.virtual_memory().total, machine.cgroup_memory_limit() or 2**63)
    return Limits(
        timeout_s=measure.timeout,
        # Ranks of a cluster on other hosts cannot announce that they are in the loop.
        launch_s=measure.timeout if attached else measure.launch_timeout,
        memory=measure.memory or int(MEMORY_SHARE * whole),
        disk=measure.disk,
    )


def execute(
    one: Attempt, fields: dict[str, Any], reference: Reference, others: Mapping[int, Sequence[float]]
) -> dict[str, Any]:
    """Run a trial that can run; returns its row. `fields` is the job's, `others` are losses by other chunk counts."""
    sink = Sink(one.file, one.echo)
    with scratch_folder() as scratch:
        ending = runner.run(
            one.launch(
                "train",
                scratch,
                {
                    "job": {**fields, "scratch": str(scratch)},
                },
            ),
            limits(one.scenario, attached=one.trial.case.address is not None),
            sink,
            one.on_phase,
        )
        keep_log(scratch, one.log)
    for metric, (unit, stamps, values) in ending.series.items():
        one.file.add(-1, metric, unit, "trial", 0, stamps, values)
    row = base_row(one.trial, one.number, one.environment.digest, one.run)
    row |= ending_fields(ending, sink.ranks)
    row["exposed"] = sink.exposed
    if one.trial.case.address and not {rank.facts.get("pid") for rank in sink.ranks} & ending.rss.by_pid.keys():
        # The ranks were the cluster's: what was seen here is the client's share alone (M58).
        row |= UNKNOWN_RESOURCES
    if ending.outcome != "ok":
        return row
    verdict = check.judge(
        sink.ranks,
        sink.losses,
        reference.losses,
        workers=one.trial.case.workers,
        steps=len(reference.losses),
        window_steps=reference.window_steps,
        requested=fields["requested"],
        threads=THREADS,
        within=one.scenario.check.loss.within,
        others=others,
    )
    row |= measured_fields(sink.ranks, ending, one.trial.case)
    findings = list(verdict.findings)
    if one.scenario.quality:
        reached = next((at for at, value in sink.quality if value >= one.scenario.quality.target), None)
        row["target"] = one.scenario.quality.target
        if reached is None:
            best = max((value for _, value in sink.quality), default=math.nan)
            findings.append(check.Finding("TARGET", f"quality {best:.4g} never reached {one.scenario.quality.target}"))
        else:
            first = next(rank for rank in sink.ranks if rank.rank == 0)
            row["time_to_target_ns"] = reached - first.stamps["entered"]
    row["loss_gap"] = verdict.gap
    if findings:
        row |= invalid_fields(findings)
    return row


def invalid_fields(findings: Sequence[check.Finding]) -> dict[str, Any]:
    return {
        "outcome": "invalid",
        "codes": " ".join(dict.fromkeys(finding.code for finding in findings)),
        "error": "; ".join(finding.message for finding in findings),
    }


def base_row(trial: Trial, number: int, environment: str | None, run: str) -> dict[str, Any]:
    """What is known of a trial before it runs."""
    case = trial.case
    return {
        "run": run,
        "trial": number,
        "kind": "trial",
        "scenario": case.scenario,
        "label": case.label,
        "tool": case.tool,
        "settings": json.dumps(case.settings),
        "device": case.device,
        "workers": case.workers,
        "batch": case.batch,
        "control": case.control,
        "address": case.address,
        "block": trial.block,
        "position": trial.position,
        "attempt": 0,
        "hash_seed": trial.hash_seed,
        "padding": trial.padding,
        "environment": environment,
        "started_utc": utc(),
    }


def ending_fields(ending: Ending, ranks: Sequence[wire.Rank]) -> dict[str, Any]:
    """What the engine saw, whatever the outcome."""
    ranks = sorted(ranks, key=lambda rank: rank.rank)
    return {
        "outcome": ending.outcome,
        "phase": ending.phase,
        "error": ending.error or None,
        "log_tail": ending.log_tail or None,
        "exit_code": ending.exit_code,
        "survivors": json.dumps(ending.survivors),
        "wall_ns": ending.gone_ns - ending.spawned_ns,
        "cpu_s": ending.cpu_s,
        "cpu_method": "wait4",
        "peak_rss": ending.rss.total or None,
        "rss_by_role": json.dumps(by_role(ending.rss, ranks)),
        "peak_pss": ending.pss.total or None,
        "pss_by_role": json.dumps(by_role(ending.pss, ranks)),
        "sampler_cpu_s": ending.sampler_cpu_s,
        "applied": json.dumps([rank.applied for rank in ranks]),
        "facts": json.dumps([rank.facts for rank in ranks]),
        "weights": ranks[0].weights if ranks else None,
    }


def by_role(peak: Peak, ranks: Sequence[wire.Rank]) -> dict[str, int]:
    """Bytes at the peak: of the ranks together, and of everything else by process name."""
    pids = {rank.facts.get("pid") for rank in ranks}
    roles: dict[str, int] = {}
    for pid, (name, size) in peak.by_pid.items():
        role = "ranks" if pid in pids else name
        roles[role] = roles.get(role, 0) + size
    return roles


def measured_fields(ranks: Sequence[wire.Rank], ending: Ending, case: Case) -> dict[str, Any]:
    """Phases (M3) and window (M7) of a trial whose ranks all reported."""
    if not ranks:
        return {}
    stamps = [rank.stamps for rank in ranks]
    first = min(ranks, key=lambda rank: rank.rank)
    window_steps = first.window[1] - first.window[0]
    opened, closed = min(one["window_open"] for one in stamps), max(one["window_close"] for one in stamps)
    row: dict[str, Any] = {
        "window_steps": window_steps,
        "samples": window_steps * case.batch,
        "load_ns": first.stamps["loaded"] - first.stamps["entered"],
        "prepare_ns": first.stamps["prepared"] - first.stamps["loaded"],
        "window_cpu_s": sum(rank.usage["cpu_s"] for rank in ranks),
        "device_bytes": sum(rank.usage.get("device_allocated_bytes", 0) for rank in ranks) or None,
    }
    hosts = {rank.facts["host"] for rank in ranks}
    if len(hosts) > 1:
        return row  # stamps of two hosts are never subtracted (M1)
    row["window_ns"] = closed - opened
    if hosts == {socket.gethostname()}:
        entered = max(one["entered"] for one in stamps)
        launched = ending.phases["launch"]
        row |= {
            "import_ns": launched - ending.spawned_ns,
            "launch_ns": entered - launched,
            "warmup_ns": opened - entered,
            "measure_ns": closed - opened,
            "teardown_ns": ending.gone_ns - closed,
            "first_step_ns": max(one["first_step"] for one in stamps) - launched,
        }
    return row


def noise_fields(before: machine.Probe, after: machine.Probe) -> dict[str, Any]:
    return {
        "kernel_ns": before.wall_ns,
        "kernel_cv": max(before.wall_cv, after.wall_cv),
        "kernel_drift": after.wall_ns / before.wall_ns - 1,
        "kernel_cpu_share": min(before.cpu_share, after.cpu_share),
        "load": before.load,
        "running": before.running,
        "steal": machine.steal_share(before, after),
        "pressure_us": None
        if before.pressure_us is None or after.pressure_us is None
        else after.pressure_us - before.pressure_us,
    }


class scratch_folder:  # noqa: N801, a context manager reads as a function
    """A folder for one worker, with a short path: tools put sockets in it, whose paths may have 107 bytes."""

    def __enter__(self) -> Path:
        self.parent = Path(tempfile.mkdtemp(prefix="assay-"))
        scratch = self.parent / "t"
        scratch.mkdir()
        return scratch

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.parent, ignore_errors=True)


def keep_log(scratch: Path, log: Path) -> None:
    """Move a worker's log, which lies beside its scratch folder, to where the run keeps it."""
    source = scratch.with_suffix(".log")
    if source.exists():
        shutil.move(source, log)


def utc() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
