"""The trace that training is checked against: one process, its gradient in as many chunks as there are ranks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from assay import plan, runner, store, trial
from assay.environment import Environment
from assay.inputs import Inputs
from assay.plan import Case
from assay.scenario import Scenario
from assay.trial import Reference

TIMEOUT = 3  # times a trial's: one process does the work of all ranks, after a pilot


def name(case: Case) -> str:
    """Of the file in the journal: cases of one scenario, device, workers, batch and chunks share a reference."""
    own = {"scenario": case.scenario, "device": case.device, "workers": case.workers, "batch": case.batch}
    return "reference-" + plan.key(**own, chunks=chunks(case))


def chunks(case: Case) -> int:
    """The parts that a step's gradient is added up from: a rank each, or the micro-batches of a pipeline."""
    return int(case.settings.get("micro_batches", case.workers))


def make(
    one: plan.Trial,
    number: int,
    tool: str,
    built: Environment,
    scenario: Scenario,
    inputs: Inputs,
    root: Path,
    run: str,
    path: Path,
    log: Path,
    on_phase: Callable[[str], None],
) -> dict[str, Any]:
    """Run it into its file, whatever the outcome; returns its row."""
    case = dataclasses.replace(one.case, label="reference", tool=tool, control=False, address=None, settings={})
    row = trial.base_row(dataclasses.replace(one, case=case), number, built.digest, run)
    row["kind"] = "reference"
    with store.TrialFile(path, number) as file:
        if built.python is None:
            row |= {"outcome": "environment", "error": f"{tool}: {built.error}"}
        else:
            row |= execute(case, chunks(one.case), scenario, inputs, built.python, file, root, run, log, on_phase)
        file.finish(row)
    return row


def execute(
    case: Case,
    parts: int,
    scenario: Scenario,
    inputs: Inputs,
    python: Path,
    file: store.TrialFile,
    root: Path,
    run: str,
    log: Path,
    on_phase: Callable[[str], None],
) -> dict[str, Any]:
    sink = trial.Sink(file)
    window = scenario.measure.window
    limits = trial.limits(scenario)
    longer = dataclasses.replace(limits, timeout_s=TIMEOUT * limits.timeout_s, launch_s=TIMEOUT * limits.timeout_s)
    fields = trial.job(case, scenario, inputs.options, inputs.files, window.steps)
    with trial.scratch_folder() as scratch:
        ending = runner.run(
            runner.Launch(
                python=python,
                request={
                    "action": "reference",
                    "chunks": parts,
                    "ranks": case.workers,
                    "at_least_s": window.at_least,
                    "job": {**fields, "scratch": str(scratch)},
                },
                scratch=scratch,
                environment=runner.environment(python, scratch, [root], run, trial.THREADS),
            ),
            longer,
            sink,
            on_phase,
        )
        trial.keep_log(scratch, log)
    row = trial.ending_fields(ending, sink.ranks)
    if sink.pilot:
        row["window_steps"] = sink.pilot.window_steps
    return row


def read(path: Path) -> Reference | str:
    """The reference in a file, or why there is none."""
    row = store.trial_row(path)
    if row["outcome"] != "ok":
        return f"{row['outcome']}: {row['error']}\n{row.get('log_tail') or ''}".strip()
    samples = pq.read_table(path, columns=["metric", "value"])
    pairs = zip(samples["metric"].to_pylist(), samples["value"].to_pylist(), strict=True)
    return Reference(row["window_steps"], tuple(value for metric, value in pairs if metric == "loss"))
