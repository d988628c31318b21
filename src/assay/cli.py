"""The command line: a pipeline of small functions, one a command. Heavy modules are imported by what needs them.

Exit codes: 0 done; 1 a trial that can run here was not ok (smoke, try), figures that differ (reproduce), a regression
that was confirmed or could not be judged (watch), or evidence that no longer stands (decide --check); 2 usage,
a scenario, a tool's file or a published table; 3 stored files; 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay import arguments
from assay.errors import AssayError, StoreError, UsageError

if TYPE_CHECKING:
    from assay.journal import Journal
    from assay.selection import Layout, Options, Prepared
    from assay.store import Archive


def main(argv: Sequence[str] | None = None) -> None:
    sys.exit(run_command(sys.argv[1:] if argv is None else list(argv)))


def run_command(argv: Sequence[str]) -> int:
    """Run a command; returns its exit code. Errors of the user's are printed, never raised."""
    options = arguments.parser().parse_args(argv)
    signal.signal(signal.SIGTERM, terminate)
    try:
        return int(COMMANDS[options.command](options, list(argv)) or 0)
    except AssayError as error:
        print(f"assay: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        kept = "; what was measured is kept: assay run --resume" if options.command == "run" else ""
        print(f"\nassay: interrupted{kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # such as `assay list runs | head`
        sys.stderr.close()
        return 0


def terminate(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def layout() -> Layout:
    from assay.selection import Layout

    return Layout.find(Path.cwd())


def run_options(options: argparse.Namespace) -> Options:
    from assay.selection import Options

    return Options(
        scenarios=tuple(options.scenarios),
        tools=tuple(options.tool),
        devices=tuple(options.device),
        workers=tuple(options.workers),
        profile=options.profile,
        blocks=options.blocks,
        seed=options.seed,
        python=options.python,
        cluster=tuple(options.cluster),
        scenario_folder=options.scenario_folder,
        tool_folders=("benchmarks/tools", *options.tool_folders),
    )


def command_run(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import selection

    place = layout()
    if options.dry_run:
        return dry_run(selection.prepare(run_options(options), place), place)
    from assay import checkout, run
    from assay.progress import Progress

    with checkout.only_one(place.state):
        if options.resume is not None:
            journal, prepared, chosen = run.resume(options.resume or None, place)
        else:
            chosen = run_options(options)
            journal, prepared = run.start(chosen, place, argv)
        progress = Progress(prepared.trials, guesses=earlier_walls(place))
        progress.say(f"run {journal.run}: {len(prepared.trials)} trials, seed {prepared.seed}")
        run.Run(journal, prepared, chosen, place, progress).execute(refresh=not options.no_report)
    if not options.no_report:
        render([journal.run], place.reports / "latest", place)
        progress.say(f"report: {(place.reports / 'latest/index.html').relative_to(place.root)}")
    progress.say(summary(journal))
    return failures(journal) if chosen.profile == "smoke" else 0


def summary(journal: Journal) -> str:
    """The counts in words: `42 trials: 40 ok, 2 unsupported`."""
    from collections import Counter

    counts = Counter(entry.outcome for entry in journal.entries() if not entry.name.startswith("reference"))
    return (
        f"{sum(counts.values())} trials: {', '.join(f'{count} {outcome}' for outcome, count in counts.most_common())}"
    )


def failures(journal: Journal) -> int:
    """1 where a trial that can run here was not ok. What this machine lacks is no failure."""
    return int(any(entry.outcome not in ("ok", "unsupported") for entry in journal.entries()))


def earlier_walls(place: Layout) -> dict[str, float]:
    """Seconds a trial took by case, from sealed runs."""
    if not any(place.results.glob("runs/*.parquet")):
        return {}
    from assay import store

    with contextlib.suppress(StoreError), store.query(store.survey(place.results)) as connection:
        rows = connection.execute(
            "SELECT scenario || '/' || label || '/' || device || '/' || workers, median(wall_ns) / 1e9 "
            "FROM trials WHERE kind = 'trial' AND wall_ns IS NOT NULL GROUP BY 1"
        ).fetchall()
        return dict(rows)
    return {}


def dry_run(prepared: Prepared, place: Layout) -> int:
    from assay.progress import Progress, duration

    progress = Progress(prepared.trials, guesses=earlier_walls(place))
    for one in prepared.trials:
        print(f"{one.index:5} block {one.block + 1} position {one.position + 1:2} {one.case.name}")
    total = sum(progress.expected(one) for one in prepared.trials)
    print(f"{len(prepared.trials)} trials, seed {prepared.seed}, about {duration(total)} once environments are built")
    return 0


def render(runs: list[str], output: Path, place: Layout) -> list[str]:
    from assay.report import site

    return site.write(runs, output, place)


def command_report(options: argparse.Namespace, argv: list[str]) -> int:
    place = layout()
    output = options.output or place.reports / "latest"
    for fault in render(options.run, output, place):
        print(f"assay: {fault}", file=sys.stderr)
    if not options.quiet:
        print(output / "index.html")
    return 0


def command_compare(options: argparse.Namespace, argv: list[str]) -> int:
    from assay.report import comparison

    place = layout()
    output = options.output or place.reports / "compare"
    print(comparison.write(options.first, options.second, output, place, options.force))
    print(output / "index.html")
    return 0


def command_reproduce(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import checkout, reproduce

    place = layout()
    with checkout.only_one(place.state):
        return reproduce.again(options.cell, options.run, place, argv)


def command_watch(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import checkout, watch

    place = layout()
    with checkout.only_one(place.state):
        return watch.watch(options.scenario, options.base, place, options.blocks, argv)


def command_history(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import history

    print(history.page(history.with_changes(history.series(options.scenario, layout()))))
    return 0


def command_export(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import export, measured, served, store

    with store.query(store.survey(layout().results)) as connection:
        questions = measured.questions(connection, options.runs or measured.newest(connection))
        offered = {one.name: served.served(connection, one) for one in questions if one.serves}
        found = list(export.series(questions, offered))
    if not found:
        raise UsageError("no right answer is stored: there is nothing to export")
    text = export.FORMATS[options.format](found)
    if options.output:
        try:
            options.output.write_text(text + "\n")
        except OSError as fault:
            raise UsageError(f"--output {options.output}: {fault.strerror}") from fault
    else:
        print(text)
    return 0


def command_decide(options: argparse.Namespace, argv: list[str]) -> int:
    import datetime

    from assay import decision
    from assay.report.gathered import gather

    place, today = layout(), datetime.datetime.now(datetime.UTC).date()
    tables, folder = gather([], place).tables, place.root / "decisions"
    if options.check:
        changes = decision.check(tables, options.components, folder, today)
        print("\n".join(changes) or "the evidence stands as it was recorded")
        return int(bool(changes))
    for path in decision.write(tables, options.components, folder, today):
        print(path.relative_to(place.root))
    return 0


def command_list(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import scenario, store, tool

    place = layout()
    if options.what == "tools":
        known = tool.find([place.root / folder for folder in ("benchmarks/tools", *options.tool_folders)], place.root)
        for one in known.values():
            devices, capabilities = "+".join(one.devices), " ".join(one.capabilities)
            print(f"{one.name:16} {devices:9} {capabilities:17} {one.title}, {one.homepage}")
            print(f"{'':16} {one.summary}")
    elif options.what == "scenarios":
        for name, path in scenario.find(place.root / options.scenario_folder).items():
            loaded = scenario.load(path, place.workloads)
            print(f"{name:16} {loaded.capability:6} {loaded.workload:12} {loaded.title}: {loaded.question}")
    else:
        return list_runs(place, store.survey(place.results))
    return 0


def list_runs(place: Layout, archive: Archive) -> int:
    from assay import store

    with store.query(archive) as connection:
        rows = connection.execute(
            "SELECT run, any_value(profile), string_agg(DISTINCT scenario, ', ' ORDER BY scenario), any_value(commit), "
            "(SELECT count(*) FROM trials WHERE trials.run = runs.run AND kind = 'trial'), "
            "(SELECT count(*) FROM trials WHERE trials.run = runs.run AND kind = 'trial' AND outcome = 'ok') "
            "FROM runs GROUP BY run ORDER BY run"
        ).fetchall()
    for run, profile, scenarios, commit, trials, right in rows:
        print(f"{run} {profile:8} {right}/{trials} ok  {(commit or '')[:9]:9} {scenarios}")
    for path in sorted(place.runs.glob("*/run.json")):
        if path.parent.name not in archive.runs:
            print(f"{path.parent.name} not sealed: assay run --resume {path.parent.name}")
    for fault in archive.faults:
        print(f"assay: {fault}", file=sys.stderr)
    return 0


def command_doctor(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import doctor

    place = layout()
    if options.noise:
        return doctor.noise(place.calibration)
    return doctor.check(place, ["benchmarks/tools", *options.tool_folders])


def command_try(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import checkout, foreground

    place = layout()
    with checkout.only_one(place.state):
        return foreground.attempt(options, place)


def command_new(options: argparse.Namespace, argv: list[str]) -> int:
    from assay import template

    place = layout()
    path = template.write(options.name, options.folder or place.root / "benchmarks/tools", options.capability)
    scenario = {"train": "data-parallel", "serve": "online", "infer": "offline", "probe": "experiments"}
    print(
        f"{path}\nfill in the places marked with <...>, then: assay try {options.name} {scenario[options.capability]}"
    )
    return 0


def command_releases(options: argparse.Namespace, argv: list[str]) -> int:
    import datetime

    from assay import releases
    from assay.report.gathered import gather

    place = layout()
    gathered = gather([], place)
    versions = {
        f"{name}=={version}"
        for row in gathered.environments
        if row["tool"] in gathered.tools
        for name, version, _ in row["packages"] or []
        if name in gathered.tools[row["tool"]].pins
    }
    today = datetime.datetime.now(datetime.UTC).date()
    releases.renew(place.root / "scenarios", versions, today, lambda text: print(text, flush=True))
    return 0


def command_schema(options: argparse.Namespace, argv: list[str]) -> int:
    import json

    from assay import scenario

    print(json.dumps(scenario.json_schema(), indent=2))
    return 0


COMMANDS = {
    "releases": command_releases,
    "run": command_run,
    "report": command_report,
    "compare": command_compare,
    "reproduce": command_reproduce,
    "watch": command_watch,
    "history": command_history,
    "export": command_export,
    "decide": command_decide,
    "list": command_list,
    "doctor": command_doctor,
    "try": command_try,
    "new": command_new,
    "schema": command_schema,
}

__all__ = ["main", "run_command"]
