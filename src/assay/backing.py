"""What stored runs say of the cells of a published table: a badge, and everything behind it. Pure.

The rules are those of `evidence.toml`: a passed proof confirms a "Yes" and contradicts a "No"; a measured interval
must lie wholly on one side of a threshold; what failed for a cause of its own is never a "No".
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from assay.claims import Column, Rule, Speedup, Table, Verdict, claims
from assay.measured import Case, Question
from assay.report.answer import Answer
from assay.report.figures import interval_text
from assay.statistics import LEAST_BLOCKS
from assay.tool import Tool

LEAST_PROOFS = 3  # a live proof is asked for three times; fewer, or mixed ones, are unclear
# Badge to symbol: never colour alone.
BADGES = {
    "confirmed": "✓",
    "contradicted": "✗",
    "unclear": "?",
    "fact": "§",
    "live": "●",
    "measured": "#",
    "failed": "!",
    "blocked": "⊘",
    "skipped": "»",
    "old": "◷",
    "not measured": "○",
    "judgement": "✎",
    "not measurable": "∅",
}
# Names of a licence in tables and in metadata that are no SPDX identifiers, in lower case.
LICENSES = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "bsd 3-clause": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "mit license": "MIT",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Installed:
    """A distribution of an environment that a stored run was measured in."""

    name: str
    version: str
    license: str | None
    tool: str
    python: str
    run: str


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """What is known of a cell: badge, verdict where there is one, and what a reader needs to check it."""

    badge: str  # of BADGES
    said: str
    verdict: Verdict = ""
    scenario: str = ""  # whose page has the figure
    run: str = ""
    trials: tuple[int, ...] = ()
    command: str = ""  # that measures it again, or for the first time
    added: str = ""  # said beside it, deciding nothing

    @property
    def word(self) -> str:
        return self.verdict or self.badge


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """Everything that badges are made of."""

    questions: Mapping[str, Question]
    answers: Mapping[str, Answer]  # of scenarios that train or infer, on CPU where they ran there
    installed: Mapping[str, Mapping[str, Installed]]  # by distribution and tool, the newest last
    tools: Mapping[str, Tool]


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    row: str
    column: str
    published: str  # empty for an added column
    rule: Rule
    found: Found


@dataclasses.dataclass(frozen=True, slots=True)
class Backed:
    """A table with a badge in every cell."""

    table: Table
    cells: dict[tuple[str, str], Cell]

    def counts(self) -> dict[str, int]:
        """Cells by the badge's word, of the published columns; in the order of BADGES."""
        words = [one.found.word for one in self.cells.values() if not self.table.columns[one.column].added]
        return {word: words.count(word) for word in BADGES if word in words}

    def those(self, word: str) -> list[Cell]:
        return [one for one in self.cells.values() if one.found.word == word]


def back(table: Table, known: Known) -> Backed:
    """Every cell of the table, judged."""
    cells = {}
    for row in table.rows:
        for name, column in table.columns.items():
            rule, published = table.rules[row, name], table.published.get((row, name), "")
            cells[row, name] = Cell(row, name, published, rule, judge(published, rule, column, known))
    return Backed(table, cells)


def judge(published: str, rule: Rule, column: Column, known: Known) -> Found:
    """The badge of one cell."""
    if rule.kind == "judgement":
        return Found("judgement", "People's opinion, kept as it was published.")
    if rule.fact:
        return fact(published, rule, column, known)
    asked = rule.speedup or rule.trials or rule.probe
    if column.tool is None or (column.reason and not asked):
        said = column.blocked or column.reason or "no file of benchmarks/tools measures it"
        remedy = f" To attach it: {column.attach}." if column.attach else ""
        badge = "blocked" if column.blocked else "not measurable" if column.reason else "not measured"
        return Found(badge, f"{said[0].upper()}{said[1:]}.{remedy}", added=stand_in(rule, column, known))
    if rule.kind == "not measurable":
        return Found("not measurable", "This row asks for what one machine does not have.")
    if rule.speedup:
        return speedup(published, rule, column.tool, known)
    if rule.trials:
        return proved(published, rule, column.tool, known)
    if rule.probe:
        return probed(published, rule, column.tool, known)
    return Found("not measured", "There is a rule for this row, and no scenario of assay's measures it yet.")


def stand_in(rule: Rule, column: Column, known: Known) -> str:
    """What the local server that packages the same way does; it decides nothing."""
    if not column.stand_in:
        return ""
    ask = proved if rule.trials else probed if rule.probe else None
    found = ask("n/a", rule, column.stand_in, known) if ask else None
    title = known.tools[column.stand_in].title
    return f"A stand-in, which decides nothing: {title}: {found.word}: {found.said}" if found else ""


def verdict(published: str, holds: bool) -> Verdict:
    """Of a cell that says yes or no."""
    claimed = claims(published)
    if claimed is None:
        return ""
    return "confirmed" if claimed == holds else "contradicted"


def speedup(published: str, rule: Rule, tool: str, known: Known) -> Found:
    asked = rule.speedup
    assert asked
    answer = known.answers.get(asked.scenario)
    command = f"nox -s bench -- {asked.scenario} --tool {tool} --profile full"
    ratio = answer.speedups.get(tool, {}).get(asked.workers) if answer else None
    if answer is None or ratio is None:
        return failed(asked.scenario, tool, asked.workers, {}, known) or Found(
            "not measured", "No run has it yet.", command=command
        )
    question = answer.question
    rows = cases(question, tool, asked.workers, {})
    common: dict[str, Any] = {
        "scenario": asked.scenario,
        "run": question.run["run"],
        "trials": tuple(row["trial"] for case in rows for row in case.ok()),
        "command": reproduce(question, rows),
        "added": beside(asked, tool, known),
    }
    text = (
        f"{question.text['title']}: speed-up at {asked.workers} workers over {question.baseline}: "
        f"{interval_text(ratio)}; confirmed above {asked.confirmed:g}, contradicted below {asked.contradicted:g}."
    )
    if ratio.low is None or ratio.high is None:
        return Found("unclear", f"{text} An interval takes {LEAST_BLOCKS} blocks.", "unclear", **common)
    if ratio.low > asked.confirmed or ratio.high < asked.contradicted:
        return Found("measured", text, verdict(published, ratio.low > asked.confirmed), **common)
    return Found(
        "unclear", f"{text} The interval lies across.", "unclear" if claims(published) is not None else "", **common
    )


def beside(asked: Speedup, tool: str, known: Known) -> str:
    """The speed-up on work of another size."""
    answer = known.answers.get(asked.beside)
    ratio = answer.speedups.get(tool, {}).get(asked.workers) if answer else None
    return f"{answer.question.text['title']}: {interval_text(ratio)}." if answer and ratio else ""


def proved(published: str, rule: Rule, tool: str, known: Known) -> Found:
    """By trials whose every answer was checked."""
    asked = rule.trials
    assert asked
    question = known.questions.get(asked.scenario)
    command = f"nox -s bench -- {asked.scenario}"
    found = cases(question, tool, asked.workers, asked.settings) if question else []
    if question is None or not found:
        return Found(
            "not measured", f"{known.tools[tool].title} is not in a stored run of {asked.scenario}.", command=command
        )
    right = [row for case in found for row in case.ok()]
    rows = [row for case in found for row in case.rows]
    common: dict[str, Any] = {
        "scenario": asked.scenario,
        "run": question.run["run"],
        "trials": tuple(row["trial"] for row in right),
        "command": reproduce(question, found),
    }
    if len(right) < len(rows):
        return failed(asked.scenario, tool, asked.workers, asked.settings, known) or Found(
            "unclear", "Mixed results.", **common
        )
    shown = f"{rule.shows}: " if rule.shows else ""
    text = f"{shown}{len(right)} of {len(rows)} trials right, every answer checked"
    if len(right) < LEAST_PROOFS:
        return Found("unclear", f"{text}; {LEAST_PROOFS} are asked for.", "unclear", **common)
    if rule.shows:
        whole: Verdict = "confirmed" if published == rule.shows else ""
        rest = "" if whole or not published else " What else the cell says is not measured."
        return Found("live", f"{text}.{rest}", whole, **common)
    return Found("live", f"{text}.", verdict(published, True), **common)


def probed(published: str, rule: Rule, tool: str, known: Known) -> Found:
    """By what a probe found in each of its trials."""
    asked = rule.probe
    assert asked
    question = known.questions.get(asked.scenario)
    command = f"nox -s bench -- {asked.scenario} --tool {tool}"
    found = cases(question, tool, None, {}) if question else []
    if question is None or not found:
        return Found("not measured", "No run has it yet.", command=command)
    common: dict[str, Any] = {
        "scenario": asked.scenario,
        "run": question.run["run"],
        "command": reproduce(question, found),
    }
    rows = [row for case in found for row in case.ok()]
    findings = [
        (row["trial"], one)
        for row in rows
        for one in json.loads(row["findings"] or "[]")
        if one["name"] == asked.finding
    ]
    if not findings:
        return failed(asked.scenario, tool, None, {}, known) or Found(
            "not measured", "The probe does not ask this of it.", command=command
        )
    common["trials"] = tuple(trial for trial, _ in findings)
    states = {one["state"] for _, one in findings}
    badge = "fact" if rule.kind == "fact" else "live"
    said = findings[-1][1]["said"]
    text = f"{said} ({len(findings)} of {len(findings)} times)"
    if len(states) > 1:
        return Found("unclear", f"Mixed results in {len(findings)} trials; the last: {said}", "unclear", **common)
    if len(findings) < LEAST_PROOFS:
        return Found("unclear", f"{said} (n = {len(findings)}; {LEAST_PROOFS} are asked for)", "unclear", **common)
    match states.pop():
        case "passed":
            return Found(badge, text, verdict(published, True), **common)
        case "none":  # the tool itself offers no such thing: a finding, not an error
            return Found(badge, text, verdict(published, False), **common)
        case _:
            return Found("failed", text, **common)


def failed(scenario: str, tool: str, workers: int | None, settings: Mapping[str, str], known: Known) -> Found | None:
    """Why none of the trials asked for was right."""
    question = known.questions.get(scenario)
    found = cases(question, tool, workers, settings) if question else []
    wrong = [row for case in found for row in case.rows if row["outcome"] != "ok"]
    if not wrong or question is None:
        return None
    row = wrong[-1]
    # What a machine lacks shows before the tool is called; a tool that declines does so itself.
    lacks = row["phase"] == "environment"
    badge = {"unsupported": "skipped" if lacks else "failed", "environment": "blocked"}.get(row["outcome"], "failed")
    first = (row["error"] or "see its log").splitlines()[0]
    return Found(
        badge,
        f"{row['outcome']} in {len(wrong)} of {sum(len(case.rows) for case in found)} trials: {first}",
        scenario=scenario,
        run=question.run["run"],
        trials=tuple(one["trial"] for one in wrong),
        command=reproduce(question, found),
    )


def fact(published: str, rule: Rule, column: Column, known: Known) -> Found:
    """Read from the metadata of what was installed."""
    owners = known.installed.get(column.distribution or "", {})
    installed = owners.get(column.tool or "") or next(reversed(list(owners.values())), None)
    if rule.fact == "stars":
        last = f" Installed today: {installed.name} {installed.version}." if installed else ""
        return Found("old", f"A count of its time; stars are not asked for.{last}")
    if installed is None:
        if column.blocked or column.distribution is None:
            return Found(
                "judgement",
                f"Nothing of it is installed here{f': {column.blocked}' if column.blocked else ''}; kept as published.",
            )
        return Found("not measured", f"No stored run has an environment with {column.distribution}.")
    source = (
        f"metadata of {installed.name} {installed.version}, as installed for {installed.tool} in run {installed.run}"
    )
    if rule.fact == "version":
        return Found("old", f"{installed.version} today (Python {installed.python}; {source}).", run=installed.run)
    claimed, stated = spdx(published), spdx(installed.license or "")
    if stated is None:
        return Found("unclear", f"The metadata names no licence ({source}).", run=installed.run)
    if claimed is None:
        return Found("fact", f"{stated} ({source}).", run=installed.run)
    if claimed == stated:
        return Found("fact", f"{stated} ({source}).", "confirmed", run=installed.run)
    if claimed in re.split(r" AND | OR |[()]", stated):
        text = f"The expression also covers what the package bundles: {stated} ({source})."
        return Found("unclear", text, "unclear", run=installed.run)
    return Found("fact", f"{stated} today, published as {published} ({source}).", "contradicted", run=installed.run)


def spdx(text: str) -> str | None:
    """A licence as an SPDX expression; None where the text names none."""
    try:
        return str(canonicalize_license_expression(LICENSES.get(text.lower().strip(), text)))
    except InvalidLicenseExpression:
        return None


def cases(question: Question | None, tool: str, workers: int | None, settings: Mapping[str, str]) -> list[Case]:
    """A tool's cases with such settings; without any, those without."""
    found = []
    for case in question.cases if question else []:
        own = json.loads(case.rows[0]["settings"] or "{}") if case.rows else {}
        if case.tool == tool and not case.control and own == dict(settings) and workers in (None, case.workers):
            found.append(case)
    return found


def reproduce(question: Question, found: Sequence[Case]) -> str:
    case = found[0]
    return f"assay reproduce {question.name}/{case.label}/{case.device}/{case.workers} --run {question.run['run']}"


def installed(environments: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Installed]]:
    """By distribution and tool, as the newest run has them."""
    found: dict[str, dict[str, Installed]] = {}
    for row in sorted(environments, key=lambda row: str(row["run"])):
        for name, version, stated in row["packages"] or []:
            found.setdefault(name, {})[row["tool"]] = Installed(
                name, version, stated, row["tool"], row["python"], row["run"]
            )
    return found
