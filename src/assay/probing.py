"""One trial of a tool that neither trains nor serves: it is asked, and what it answered was checked inside."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from assay import runner, wire
from assay.serving import HOST, PORTS
from assay.trial import Attempt, base_row, ending_fields, keep_log, limits, scratch_folder


def execute(one: Attempt) -> dict[str, Any]:
    """Run a trial that can run; returns its row, whose `findings` are what was found."""
    found: list[dict[str, Any]] = []
    exposed: list[str] = []

    def sink(record: wire.Record) -> None:
        if one.echo:
            one.echo(record)
        if isinstance(record, wire.Network):
            exposed.append(record.exposed)
        if isinstance(record, wire.Finding):
            found.append(dataclasses.asdict(record))

    with scratch_folder() as scratch:
        ending = runner.run(
            one.launch(
                "probe",
                scratch,
                {
                    "job": {
                        "scratch": str(scratch),
                        "seed": one.scenario.seed + one.trial.block,
                        "host": HOST,
                        "ports": PORTS,
                        "settings": one.trial.case.settings,
                    },
                    "subjects": one.scenario.subjects,
                },
            ),
            limits(one.scenario),
            sink,
            one.on_phase,
        )
        keep_log(scratch, one.log)
    for metric, (unit, stamps, values) in ending.series.items():
        one.file.add(-1, metric, unit, "trial", 0, stamps, values)
    row = base_row(one.trial, one.number, one.environment.digest, one.run)
    row |= ending_fields(ending, [])
    row |= {"exposed": exposed[-1] if exposed else None, "findings": json.dumps(found)}
    return row
