"""The command line's commands and options. Nothing heavy is imported here: `--help` is asked for often."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay import __version__

FORMATS = ("pytest-benchmark", "github")  # as assay.export.FORMATS
CAPABILITIES = ("train", "serve", "infer", "probe")  # as assay.tool.CAPABILITIES
PROFILES = ("smoke", "quick", "standard", "full")  # as assay.plan.PROFILES; importing it here would cost --help


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

    commands.add_parser("releases", help="ask the package index when the versions of stored runs were released")

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
