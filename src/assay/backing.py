"""What stored runs say of the cells of a published table: a badge, and everything behind it. Pure.

The rules are those of `evidence.toml`: a passed proof confirms a "Yes" and contradicts a "No"; a measured interval
must lie wholly on one side of a threshold; what failed for a cause of its own is never a "No".
"""

from __future__ import annotations

import dataclasses
import datetime
import re

from assay import proof
from assay.badge import BADGES, Found, Known
from assay.claims import FRESH_DAYS, Column, Rule, Table
from assay.facts import spdx


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
            found = aged(judge(published, rule, column, known), known.today)
            cells[row, name] = Cell(row, name, published, rule, found)
    return Backed(table, cells)


def aged(found: Found, today: datetime.date) -> Found:
    """The same, as `old` where its run is too old to be relied on."""
    if not found.runs or found.badge == "old":
        return found
    oldest = found.runs[0]
    day = datetime.date.fromisoformat(f"{oldest[:4]}-{oldest[4:6]}-{oldest[6:8]}")
    if (today - day).days <= FRESH_DAYS:
        return found
    said = f"{found.said} That was {(today - day).days} days ago: {found.word} then."
    return dataclasses.replace(found, badge="old", verdict="", said=said)


def judge(published: str, rule: Rule, column: Column, known: Known) -> Found:
    """The badge of one cell."""
    if rule.kind == "judgement":
        return Found("judgement", "People's opinion, kept as it was published.")
    if rule.fact:
        return fact(published, rule, column, known)
    if column.tool is None or (column.reason and not (rule.speedup or rule.trials or rule.probe)):
        return absent(rule, column, known)
    if rule.kind == "not measurable":
        return Found("not measurable", "This row asks for what one machine does not have.")
    if rule.speedup:
        found = proof.speedup(published, rule, column.tool, known)
    elif rule.trials:
        found = proof.proved(published, rule, column.tool, known)
    elif rule.probe:
        found = proof.probed(published, rule, rule.probe.tool or column.tool, known)
    else:
        found = Found("not measured", "There is a rule for this row, and no scenario of assay's measures it yet.")
    if rule.gain:
        found = dataclasses.replace(found, added=f"{found.added} {proof.gain(rule.gain, column.tool, known)}".strip())
    # A tool with a file that cannot be had here is no gap of ours.
    return absent(rule, column, known) if column.blocked and found.badge == "not measured" else found


def absent(rule: Rule, column: Column, known: Known) -> Found:
    """Why a system is not measured here, and what someone who has access would supply."""
    said = column.blocked or column.reason or "no file of benchmarks/tools measures it"
    remedy = f" To attach it: {column.attach}." if column.attach else ""
    badge = "blocked" if column.blocked else "not measurable" if column.reason else "not measured"
    return Found(badge, f"{said[0].upper()}{said[1:]}.{remedy}", added=stand_in(rule, column, known))


def stand_in(rule: Rule, column: Column, known: Known) -> str:
    """What the local server that packages the same way does; it decides nothing."""
    if not column.stand_in:
        return ""
    ask = proof.proved if rule.trials else proof.probed if rule.probe else None
    found = ask("n/a", rule, column.stand_in, known) if ask else None
    title = known.tools[column.stand_in].title
    return f"A stand-in, which decides nothing: {title}: {found.word}: {found.said}" if found else ""


def fact(published: str, rule: Rule, column: Column, known: Known) -> Found:
    """Read from the metadata of what was installed."""
    owners = known.installed.get(column.distribution or "", {})
    installed = owners.get(column.tool or "") or next(reversed(list(owners.values())), None)
    day = known.releases.get(f"{installed.name}=={installed.version}") if installed else None
    released = f", of {day}" if day else ""
    if rule.fact == "stars":
        last = f" Installed today: {installed.name} {installed.version}{released}." if installed else ""
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
    command = (
        'duckdb -c "SELECT tool, package, version, license FROM '
        f"'results/environments/{installed.run}.parquet' WHERE package = '{installed.name}'\""
    )
    if rule.fact == "version":
        said = f"{installed.version} today{released} (Python {installed.python}; {source})."
        return Found("old", said, run=installed.run, command=command)
    claimed, stated = spdx(published), spdx(installed.license or "")
    if stated is None:
        named = f"says {installed.license!r}, which is no SPDX identifier" if installed.license else "names no licence"
        return Found("unclear", f"The metadata {named} ({source}).", run=installed.run, command=command)
    if claimed is None:
        return Found("fact", f"{stated} ({source}).", run=installed.run, command=command, holds=True)
    if claimed == stated:
        return Found("fact", f"{stated} ({source}).", "confirmed", run=installed.run, command=command, holds=True)
    if claimed in re.split(r" AND | OR |[()]", stated):
        text = f"The expression also covers what the package bundles: {stated} ({source})."
        return Found("unclear", text, "unclear", run=installed.run, command=command, holds=True)
    said = f"{stated} today, published as {published} ({source})."
    return Found("fact", said, "contradicted", run=installed.run, command=command, holds=True)
