"""One trial of batch inference: a data set through a model, once cold and then warm, every row compared."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.dataset

from assay import machine, runner, wire
from assay.client import ABSOLUTE, RELATIVE
from assay.trial import (
    THREADS,
    UNKNOWN_RESOURCES,
    Attempt,
    base_row,
    ending_fields,
    keep_log,
    limits,
    scratch_folder,
)


def execute(one: Attempt, options: dict[str, Any], model: Path) -> dict[str, Any]:
    """Run a trial that can run; returns its row. A pass's time goes to the samples as `pass_time`."""
    assert one.scenario.infer
    times: list[float] = []
    ends: list[int] = []
    exposed: list[str] = []
    infer, available = one.scenario.infer, machine.cores()
    pinned = one.trial.case.device == "cpu" and one.trial.case.workers <= len(available) and not one.trial.case.address

    def sink(record: wire.Record) -> None:
        if one.echo:
            one.echo(record)
        if isinstance(record, wire.Network):
            exposed.append(record.exposed)
        if isinstance(record, wire.Samples):
            one.file.add(record.rank, record.metric, record.unit, "measure", record.start, record.at_ns, record.values)
            times.extend(record.values)
            ends.extend(record.at_ns)

    with scratch_folder() as scratch:
        # Beside the scratch folder, within the trial's limit of disk.
        targets = scratch.parent / "targets"
        targets.mkdir()
        ending = runner.run(
            one.launch(
                "infer",
                scratch,
                {
                    "passes": infer.passes,
                    "targets": str(targets),
                    "cores": available[: one.trial.case.workers] if pinned else [],
                    "job": {
                        "workload": one.scenario.workload,
                        "options": options,
                        "model": str(model),
                        "source": str(model / "source"),
                        "scratch": str(scratch),
                        "device": one.trial.case.device,
                        "workers": one.trial.case.workers,
                        "threads": THREADS,
                        "batch": infer.batch,
                        "address": one.trial.case.address,
                        "settings": one.trial.case.settings,
                    },
                },
            ),
            limits(one.scenario, attached=one.trial.case.address is not None),
            sink,
            one.on_phase,
        )
        keep_log(scratch, one.log)
        faults = []
        if ending.outcome == "ok":
            golden = numpy.load(model / "golden.npy")
            faults = [
                f"pass {number}: {fault}"
                for number in range(1 + infer.passes)
                if (fault := compare(targets / str(number), golden))
            ]
    for metric, (unit, stamps, values) in ending.series.items():
        one.file.add(-1, metric, unit, "trial", 0, stamps, values)
    row = base_row(one.trial, one.number, one.environment.digest, one.run)
    row |= ending_fields(ending, [])
    row["exposed"] = exposed[-1] if exposed else None
    if one.trial.case.address:
        row |= UNKNOWN_RESOURCES  # the workers were the cluster's (M58)
    if ending.outcome != "ok":
        return row
    if len(times) != 1 + infer.passes:
        return row | {"outcome": "invalid", "codes": "PASSES", "error": f"{len(times)} passes were timed"}
    launched, began = ending.phases["launch"], ending.phases["warmup"]
    closed = ending.phases["teardown"]
    row |= {
        "samples": len(golden),
        "window_ns": round(statistics.median(times[1:])),
        "import_ns": launched - ending.spawned_ns,
        "launch_ns": began - launched,
        "warmup_ns": ending.phases["measure"] - began,
        "measure_ns": closed - ending.phases["measure"],
        "teardown_ns": ending.gone_ns - closed,
        "first_step_ns": ends[0] - launched,
    }
    if faults:
        row |= {"outcome": "invalid", "codes": "MISMATCH", "error": "; ".join(faults)}
    return row


def compare(target: Path, golden: numpy.ndarray) -> str | None:
    """Why the predictions in a folder, in any order, are not the golden ones of shape (rows, outputs); or None."""
    try:
        table = pa.dataset.dataset(sorted(target.rglob("*.parquet"))).to_table(columns=["row", "y"])
        rows = table["row"].to_numpy()
        found = table["y"].combine_chunks().flatten().to_numpy()
    except (OSError, ValueError, KeyError, pa.ArrowException) as fault:
        return f"the output cannot be read: {fault}"
    if len(rows) != len(golden) or (numpy.sort(rows) != numpy.arange(len(golden))).any():
        return f"{len(rows)} rows were written, {len(numpy.unique(rows))} of them distinct; expected were {len(golden)}"
    if found.size != golden.size:
        return f"{found.size} predictions were written, expected were {golden.size}"
    close = numpy.isclose(found.reshape(golden.shape), golden[rows], atol=ABSOLUTE, rtol=RELATIVE)
    wrong = int((~close.all(axis=1)).sum())
    return f"{wrong} of {len(golden)} rows differ from the golden predictions" if wrong else None
