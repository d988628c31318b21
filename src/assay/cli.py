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

from assay import __version__
from assay.errors import AssayError, StoreError, UsageError

if TYPE_CHECKING:
    from assay.journal import Journal
    from assay.selection import Layout, Options, Prepared
    from assay.store import Archive

FORMATS = ("pytest-benchmark", "github")  # as assay.export.FORMATS
CAPABILITIES = ("train", "serve", "infer", "probe")  # as assay.tool.CAPABILITIES
PROFILES = ("smoke", "quick", "standard", "full")  # as assay.plan.PROFILES; importing it here would cost --help


def main(argv: Sequence[str] | None = None) -> None:
    sys.exit(run_command(sys.argv[1:] if argv is None else list(argv)))


def run_command(argv: Sequence[str]) -> int:
    """Run a command; returns its exit code. Errors of the user's are printed, never raised."""
    options = parser().parse_args(argv)
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


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="assay", description="Measure candidate ML tools with identical work.")
    top.add_argument("--version", action="version", version=f"assay {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="measure: build environments, run trials, seal results, write the report")
    selection(run)
    run.add_argument("--resume", nargs="?", const="", metavar="RUN", help="go on with RUN, or with the newest run")
    run.add_argument("--dry-run", action="store_true", help="print the plan with an estimated duration, run nothing")
    run.add_argument("--no-report", action="store_true", help="seal results without rendering a report")

    report = commands.add_parser("report", help="render reports/latest from stored results")
    report.add_argument("--run", action="append", default=[], help="runs to show; default: each scenario's newest")
    report.add_argument("--output", type=Path, help="folder to write; default reports/latest")
    report.add_argument("--quiet", action="store_true", help="print nothing but errors")

    compare = commands.add_parser("compare", help="set two runs, or two tools of one run, side by side")
    compare.add_argument("first", metavar="RUN[:TOOL]", help="a run, or the beginning of its name")
    compare.add_argument("second", metavar="RUN[:TOOL]")
    compare.add_argument("--force", action="store_true", help="also where they did not measure the same")
    compare.add_argument("--output", type=Path, help="folder to write; default reports/compare")

    reproduce = commands.add_parser("reproduce", help="measure one case of a stored run again")
    reproduce.add_argument("cell", metavar="SCENARIO/TOOL/DEVICE/WORKERS", help="such as data-parallel/ray/cpu/2")
    reproduce.add_argument("--run", help="default: the newest that has it")

    watch = commands.add_parser("watch", help="exit with 1 where a scenario's newest run shows a confirmed regression")
    watch.add_argument("scenario")
    watch.add_argument("--base", metavar="RUN", help="the run to compare with; default: the one before the newest")
    watch.add_argument("--blocks", type=positive, default=10, help="of the interleaved rerun that confirms")

    history = commands.add_parser("history", help="how figures went from run to run, with change points")
    history.add_argument("scenario", nargs="?")

    export = commands.add_parser("export", help="stored figures as JSON for other tools")
    export.add_argument("runs", nargs="*", metavar="RUN", help="default: each scenario's newest")
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--output", type=Path, help="file to write; default: standard output")

    decide = commands.add_parser("decide", help="write decision records, or check that their evidence still stands")
    decide.add_argument("components", nargs="*", metavar="COMPONENT", help="such as training; default: all")
    decide.add_argument("--check", action="store_true", help="exit with 1 where evidence flipped or expired")

    listing = commands.add_parser("list", help="list tools, scenarios or runs")
    listing.add_argument("what", choices=("tools", "scenarios", "runs"))
    folders(listing)

    doctor = commands.add_parser("doctor", help="say what is missing on this machine and how to get it")
    doctor.add_argument("--noise", action="store_true", help="measure this machine's noise; run it when it is idle")
    folders(doctor)

    attempt = commands.add_parser("try", help="one trial in the foreground, its records printed as they come")
    attempt.add_argument("tool")
    attempt.add_argument("scenario")
    attempt.add_argument("--workers", type=positive, default=1)
    attempt.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    attempt.add_argument("--python", help="an interpreter that is already provisioned")
    attempt.add_argument("--cluster", help="address of a cluster that already runs")
    folders(attempt)

    new = commands.add_parser("new", help="write the file of a new tool")
    new.add_argument("what", choices=("tool",))
    new.add_argument("name")
    new.add_argument("--capability", choices=CAPABILITIES, default=CAPABILITIES[0])
    new.add_argument("--folder", type=Path, help="default benchmarks/tools")

    commands.add_parser("schema", help="print the JSON Schema of scenario files, for editors")
    return top


def selection(run: argparse.ArgumentParser) -> None:
    run.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="names; default: all of them")
    run.add_argument("--profile", choices=PROFILES, default="quick", help="how much is measured (default: quick)")
    run.add_argument("--tool", action="append", default=[], metavar="NAME", help="only this tool (repeatable)")
    run.add_argument("--device", action="append", default=[], choices=("cpu", "cuda"), help="only this device")
    run.add_argument("--workers", action="append", default=[], type=positive, help="only this number of workers")
    run.add_argument("--blocks", type=positive, help="instead of the profile's")
    run.add_argument("--seed", type=seed, help="of the order of trials; default: drawn, and stored")
    run.add_argument("--python", help="an interpreter that is already provisioned, for all tools")
    run.add_argument(
        "--cluster", action="append", default=[], type=pair, metavar="TOOL=ADDRESS", help="attach to a running cluster"
    )
    folders(run)


def folders(command: argparse.ArgumentParser) -> None:
    command.add_argument("--scenarios", dest="scenario_folder", default="scenarios", metavar="FOLDER")
    command.add_argument(
        "--tools", dest="tool_folders", action="append", default=[], metavar="FOLDER", help="more tools (repeatable)"
    )


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not a seed: 0 to {2**31 - 1}")
    return number


def pair(text: str) -> tuple[str, str]:
    name, separator, address = text.partition("=")
    if not separator or not address:
        raise argparse.ArgumentTypeError(f"{text!r} is not TOOL=ADDRESS, such as ray=127.0.0.1:6379")
    return name, address


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


def command_schema(options: argparse.Namespace, argv: list[str]) -> int:
    import json

    from assay import scenario

    print(json.dumps(scenario.json_schema(), indent=2))
    return 0


COMMANDS = {
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
