"""Regressions: what became slower since an earlier run, believed only when an interleaved rerun shows it again (M70).

Two runs of different days never decide: they only say where to look. Then the tool of then, its file and its
packages, and the tool of now run in one campaign, block by block, and the verdict is that campaign's.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from assay import compare, environment, measured, run, store, tool
from assay.compare import Side
from assay.environment import Environment, Package
from assay.errors import UsageError
from assay.measured import Question
from assay.progress import Progress
from assay.report.answer import answer
from assay.selection import Layout, Options
from assay.statistics import Comparison
from assay.tool import Tool

SUSPICIOUS = 0.02  # slower by less than this between two runs is not worth a rerun
SUFFIX = "_before"


@dataclasses.dataclass(frozen=True, slots=True)
class Suspect:
    """A tool that may have become slower, and how it was before."""

    tool: str
    workers: tuple[int, ...]
    device: str
    commit: str | None
    packages: tuple[Package, ...]
    python: str


def watch(scenario: str, base: str | None, place: Layout, blocks: int, argv: list[str]) -> int:
    """Compare a scenario's newest run with `base`, by default the one before; rerun what looks slower.

    Returns 1 where a rerun confirms a regression or cannot tell, else 0. Raises UsageError where there is nothing to
    compare.
    """
    archive = store.survey(place.results)
    with store.query(archive) as connection:
        rows = connection.execute(
            "SELECT run FROM runs WHERE scenario = ? AND profile <> 'smoke' ORDER BY run", [scenario]
        ).fetchall()
        runs = [name for (name,) in rows]
        if len(runs) < 2:
            raise UsageError(f"{scenario}: {len(runs)} runs are stored; a regression needs two (assay list runs)")
        newest, earlier = runs[-1], base or runs[-2]
        if earlier not in runs[:-1]:
            raise UsageError(f"--base {earlier}: no earlier run of {scenario}; there are {', '.join(runs[:-1])}")
        first, second = (
            next(one for one in measured.questions(connection, [name]) if one.name == scenario)
            for name in (earlier, newest)
        )
        built = {row["tool"]: row for row in measured.environments(connection, [earlier])}
    if first.serves:
        raise UsageError(f"{scenario}: only throughput is watched, not servers")
    if hard := [one.what for one in compare.differences(first, second, ({}, {})) if one.hard]:
        raise UsageError(f"{newest} and {earlier} did not measure the same ({', '.join(hard)}): give another --base")
    if first.run["dirty"]:
        print(f"{earlier} was measured with uncommitted changes: the tools of its commit stand in for them")
    suspects = suspicious(first, second, built)
    print(f"{scenario}: {newest} against {earlier}: {len(suspects)} tools look slower")
    words = [word for one in suspects for word in rerun(one, scenario, second, place, blocks, argv)]
    return int(any(word in ("regression", "not judged") for word in words))


def suspicious(first: Question, second: Question, built: Mapping[str, Mapping[str, object]]) -> list[Suspect]:
    """Tools with a case whose mean throughput fell by more than SUSPICIOUS; the control's own change is no excuse."""
    workers: dict[tuple[str, str], list[int]] = {}
    sides = Side(first.run["run"], None), Side(second.run["run"], None)
    slower = {row.case for row in compare.trained(first, second, sides) if row.comparison.ratio.value < 1 - SUSPICIOUS}
    for case in second.cases:
        if f"{case.name} {case.device}" in slower and not case.control and case.label == case.tool:
            workers.setdefault((case.tool, case.device), []).append(case.workers)
    found = []
    for (name, device), counts in workers.items():
        row = built[name]
        packages = tuple(Package(*package) for package in row["packages"] or [])  # type: ignore[attr-defined]
        found.append(Suspect(name, tuple(counts), device, first.run["commit"], packages, str(row["python"])))
    return found


def rerun(suspect: Suspect, scenario: str, newest: Question, place: Layout, blocks: int, argv: list[str]) -> list[str]:
    """Then and now in one campaign; prints and returns a word a case, as `verdict`."""
    own = dataclasses.replace(place, state=place.state / "watch")
    before = earlier_tool(suspect, own.state / "tools", place.root)
    if place.calibration.exists():
        own.state.mkdir(parents=True, exist_ok=True)
        shutil.copy(place.calibration, own.calibration)
    options = Options(
        scenarios=(scenario,),
        tools=(suspect.tool, before.name),
        devices=(suspect.device,),
        workers=suspect.workers,
        profile=newest.run["profile"],
        blocks=blocks,
        tool_folders=("benchmarks/tools", str(before.path.parent)),
        control=suspect.tool,
    )
    journal, prepared = run.start(options, own, argv)
    progress = Progress(prepared.trials)
    progress.say(
        f"{suspect.tool} and {before.name} in turn, {len(prepared.trials)} trials, in {own.runs / journal.run}"
    )
    going = run.Run(journal, prepared, options, own, progress)

    def environments(tools: list[Tool]) -> dict[str, Environment]:
        pins = {before.name: environment.pinned(before, suspect.packages, suspect.python, own.state / "pinned")}
        return environment.build_all(
            [pins.get(one.name, one) for one in tools], place.environments, progress.environment
        )

    going.environments_of = environments
    going.execute(refresh=False, seal=False)
    with store.query(None, journal) as connection:
        (question,) = measured.questions(connection, [journal.run])
    judged = answer(question, suspect.device).comparisons
    words = []
    for workers in suspect.workers:
        comparison = judged.get(workers, {}).get(before.name)
        word, reason = verdict(comparison)
        words.append(word)
        print(f"{scenario}/{suspect.tool}/{suspect.device}/{workers}: {word}: {reason}")
    return words


def verdict(comparison: Comparison | None) -> tuple[str, str]:
    """`regression`, `none` or `not judged`, and why; the comparison is of before against now."""
    from assay.report.figures import interval_text

    if comparison is None:
        return "not judged", "one side gave no right answer; see the log of its trials"
    ratio = f"before over now {interval_text(comparison.ratio)}, paired by block"
    if comparison.word == "no verdict":
        return "not judged", f"{ratio}; too few blocks, or the A/A control missed: run it again"
    return ("regression" if comparison.word == "faster" else "none"), f"{ratio}, before is {comparison.word}"


def earlier_tool(suspect: Suspect, folder: Path, root: Path) -> Tool:
    """The tool's file of then under another name. Raises UsageError where git does not have it."""
    source = f"benchmarks/tools/{suspect.tool}.py"
    command = ["git", "show", f"{suspect.commit}:{source}"]
    shown = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if shown.returncode:
        raise UsageError(f"{' '.join(command)}: {shown.stderr.strip()}; the base's commit must be in this clone")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{suspect.tool}{SUFFIX}.py"
    path.write_text(renamed(shown.stdout, f"{suspect.tool} before"))
    return tool.read(path, root)


def renamed(text: str, title: str) -> str:
    return re.sub(r'(?m)^# title = ".*"$', f'# title = "{title}"', text, count=1)
