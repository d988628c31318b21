"""One trial in the foreground, for the author of a tool's file: its records are printed as they come."""

from __future__ import annotations

import argparse
import dataclasses
import shutil

from assay import attempts, run, store, tree, wire
from assay.errors import UsageError
from assay.progress import Progress
from assay.selection import Layout, Options

SHOWN = 6  # values of a batch of samples


def attempt(options: argparse.Namespace, place: Layout) -> int:
    """Run it; returns 0 for ok, else 1. Nothing is stored."""
    chosen = Options(
        scenarios=(options.scenario,),
        tools=(options.tool,),
        devices=(options.device,),
        workers=(options.workers,),
        profile="smoke",
        seed=0,
        python=options.python,
        cluster=((options.tool, options.cluster),) if options.cluster else (),
        scenario_folder=options.scenario_folder,
        tool_folders=("benchmarks/tools", *options.tool_folders),
    )
    folder = dataclasses.replace(place, state=place.state / "try")
    journal, prepared = run.start(chosen, folder, [])
    own = [one for one in prepared.trials if (one.case.label, one.case.workers) == (options.tool, options.workers)]
    if not own:
        raise UsageError(f"{options.scenario} has no case of {options.tool}; the baseline runs with one worker")
    going = run.Run(journal, prepared, chosen, folder, Progress(own))
    going.echo = show
    try:
        tree.become_subreaper()
        going.make_environments()
        going.make_inputs()
        with store.TrialFile(journal.path("0"), own[0].index) as file:
            row, loads = going.trial_row(own[0], own[0].index, file)
        log = journal.folder / "logs" / f"{own[0].index}.log"
        if log.exists() and row["outcome"] != "ok":
            print(log.read_text(errors="replace").rstrip())
    finally:
        shutil.rmtree(folder.state / "runs", ignore_errors=True)
    for key in ("outcome", "codes", "phase", "error", "exit_code", "survivors", "loss_gap", "first_step_ns", "wall_ns"):
        if row.get(key) not in (None, "", "[]"):
            print(f"{key}: {row[key]}")
    for load in loads:
        rate = f"{load['rate']:.4g} requests/s" if load["rate"] else load["kind"]
        print(f"{rate}: {load['completed']} of {load['scheduled']} completed, codes {load['codes']}, {load}")
    if rate := attempts.throughput(row):
        print(f"throughput: {rate:,.1f} samples/s in a short window: too few to compare tools by")
    return int(row["outcome"] != "ok")


def show(record: wire.Record) -> None:
    if isinstance(record, wire.Samples):
        shown = ", ".join(f"{value:.6g}" for value in record.values[:SHOWN])
        more = f", ... {len(record.values)} values" if len(record.values) > SHOWN else ""
        print(f"samples of rank {record.rank}: {record.metric} ({record.unit}) from {record.start}: {shown}{more}")
    else:
        print(record)
