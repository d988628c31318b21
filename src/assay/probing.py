"""One trial of a tool that neither trains nor serves: it is asked, and what it answered was checked inside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay import runner, wire
from assay.environment import Environment
from assay.plan import Trial
from assay.scenario import Scenario
from assay.serving import HOST, PORTS
from assay.store import TrialFile
from assay.tool import Tool
from assay.trial import THREADS, base_row, ending_fields, keep_log, limits, scratch_folder


def execute(
    trial: Trial,
    number: int,
    scenario: Scenario,
    tool: Tool,
    environment: Environment,
    root: Path,
    run: str,
    file: TrialFile,
    log: Path,
    on_phase: Callable[[str], None],
    echo: Callable[[wire.Record], None] | None,
) -> dict[str, Any]:
    """Run a trial that can run; returns its row, whose `findings` are what was found."""
    assert environment.python
    found: list[dict[str, str]] = []
    exposed: list[str] = []

    def sink(record: wire.Record) -> None:
        if echo:
            echo(record)
        if isinstance(record, wire.Network):
            exposed.append(record.exposed)
        if isinstance(record, wire.Finding):
            found.append({"name": record.name, "state": record.state, "said": record.said})

    with scratch_folder() as scratch:
        ending = runner.run(
            runner.Launch(
                python=environment.python,
                request={
                    "action": "probe",
                    "module": tool.module,
                    "exposed": "",
                    "job": {
                        "scratch": str(scratch),
                        "seed": scenario.seed + trial.block,
                        "host": HOST,
                        "ports": PORTS,
                        "settings": trial.case.settings,
                    },
                },
                scratch=scratch,
                environment=runner.environment(
                    environment.python, scratch, [root, tool.import_root], run, THREADS, trial.hash_seed, trial.padding
                ),
            ),
            limits(scenario),
            sink,
            on_phase,
        )
        keep_log(scratch, log)
    for metric, (unit, stamps, values) in ending.series.items():
        file.add(-1, metric, unit, "trial", 0, stamps, values)
    row = base_row(trial, number, environment.digest, run)
    row |= ending_fields(ending, [])
    row |= {"exposed": exposed[-1] if exposed else None, "findings": json.dumps(found)}
    return row
