"""The published tables with their badges: a page a table, and the front of the index."""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from assay.backing import Backed
from assay.backing import Cell as Judged
from assay.badge import BADGES
from assay.claims import Status
from assay.claims import Table as Published
from assay.report.document import Cell, Code, Details, Heading, Items, Matrix, Page, Paragraph, Part, Table

MANY = 12  # sentences of what was confirmed, before they are folded
MEANINGS = {
    "confirmed": "measured, proved or read, and the published cell holds",
    "contradicted": "measured, proved or read, and the published cell does not hold",
    "unclear": "the interval lies wholly on neither side of the bounds, or results are mixed or too few",
    "fact": "read mechanically from what was installed",
    "live": "tried, and what came of it was checked; the cell makes no claim, or says more than was shown",
    "measured": "a number where the cell makes no testable claim",
    "failed": "tried, and it failed: never shown as a No",
    "blocked": "cannot be installed here",
    "skipped": "needs hardware or a program that is not here",
    "old": "of its time, or measured more than 180 days before the newest run",
    "not measured": "assay has a rule for it and no result yet",
    "judgement": "people's, kept as it was published, or said of a tool's documentation and not tried",
    "not measurable": "needs an account, a cluster or a vendor's service; it says what to attach",
}

REST = {  # what the front says of the badges that are no verdicts
    "were tried or read without a verdict": ("fact", "live", "measured"),
    "failed here": ("failed",),
    "are people's judgement": ("judgement",),
    "are of their time": ("old",),
    "are out of reach of this machine": ("blocked", "skipped", "not measurable"),
    "are not measured yet": ("not measured",),
}


def path(table: Published) -> str:
    return f"{table.component}.html"


def anchor(row: str, column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{row} {column}".lower()).strip("-")


def front_parts(
    tables: Sequence[Backed],
    records: Sequence[Page] = (),
    ranked: bool = False,
    releases: Mapping[str, datetime.date] = MappingProxyType({}),
) -> list[Part]:
    """What the published tables come to: counts, contradictions, and how to check."""
    if not tables:
        return []
    words = [word for word in BADGES if any(word in one.counts() for one in tables)]
    rows = [
        [
            f"[{one.table.title}]({path(one.table)})",
            str(sum(one.counts().values())),
            *(str(one.counts().get(word, 0)) for word in words),
        ]
        for one in tables
    ]
    total = sum(sum(one.counts().values()) for one in tables)
    counted = {word: sum(one.counts().get(word, 0) for one in tables) for word in BADGES}
    backed = ", ".join(f"{counted[word]} {word}" for word in ("confirmed", "contradicted", "unclear"))
    rest = ", ".join(
        f"{sum(counted[word] for word in those)} {what}"
        for what, those in REST.items()
        if any(counted[word] for word in those)
    )
    source = "; ".join(sorted({one.table.source for one in tables}))
    parts: list[Part] = [
        Heading("The published tables"),
        Paragraph(
            f"Of {total} published cells ({source}), {backed}. Of the rest {rest}. A cell opens to the rule, the value "
            "with its n, the trials behind it and the command that asks again.",
            "lead",
        ),
        Paragraph(
            "Commands are typed in a checkout: `nox` is `uvx nox` where it is not installed, and `assay` is in "
            "`.nox/bench/bin` once `nox -s bench` has run; `duckdb` is DuckDB's own program."
        ),
        Table(["Table", "Cells", *(f"{BADGES[word]} {word}" for word in words)], rows, "Published cells by badge."),
    ]
    for word in ("contradicted", "unclear", "failed", "confirmed"):
        cells = [(one.table, cell) for one in tables for cell in one.those(word)]
        if cells:
            listed = Items([sentence(table, cell) for table, cell in cells])
            if word == "confirmed" and len(cells) > MANY:
                parts.append(Details(f"{word.capitalize()}: {len(cells)} cells", [listed]))
            else:
                parts += [Heading(word.capitalize(), 3), listed]
    if dated := timeline([one.table for one in tables], releases):
        table = Table(["Since", "System", "Fact"], dated, "Releases are those of what was installed in stored runs.")
        parts.append(Details(f"Time-line: {len(dated)} dated facts", [table]))
    if records:
        links = ", ".join(f"[{page.title.removeprefix('Decision: ')}]({page.path})" for page in records)
        parts.append(Paragraph(f"Decision records, which people finish: {links}."))
    if ranked:
        parts.append(Paragraph("What must, should and could be is weighed in the [ranking](ranking.html)."))
    return parts


def timeline(tables: Sequence[Published], releases: Mapping[str, datetime.date]) -> list[list[str]]:
    """What became of each system, and its releases that were measured: date, system and fact, the newest first."""
    owners: dict[str, list[str]] = {}
    found = set()
    for table in tables:
        for name, column in table.columns.items():
            if column.distribution:
                owners.setdefault(column.distribution, []).append(name)
        for name, status in table.status.items():
            if status.since:
                found.add((status.since, name, f"{status.state}: {status.evidence}"))
    for pin, day in releases.items():
        distribution, _, version = pin.partition("==")
        found |= {(str(day), name, f"{distribution} {version} released") for name in owners.get(distribution, [])}
    return [list(fact) for fact in sorted(found, reverse=True)]


def sentence(table: Published, cell: Judged) -> str:
    link = f"{path(table)}#{anchor(cell.row, cell.column)}"
    published = f'published "{cell.published}"' if cell.published else "not in the published table"
    said = f"{cell.found.said} {cell.found.added}".strip()
    return f"[{table.title}, {cell.row}, {cell.column}]({link}): {published}. {said}"


def table_parts(one: Backed, today: datetime.date, tools: Collection[str], scenarios: Collection[str]) -> list[Part]:
    """The published table itself, every cell with its badge; `tools` and `scenarios` are those that have pages."""
    table = one.table
    counts = ", ".join(f"{count} {word}" for word, count in one.counts().items())
    columns = [(name, note(table, name, today)) for name in table.columns]
    rows = [(row, [shown(table, one.cells[row, name], scenarios) for name in table.columns]) for row in table.rows]
    return [
        Paragraph(f"{table.source}. Rows, columns and wording are as published. Published cells: {counts}.", "lead"),
        Matrix("Feature", columns, rows, table.title),
        Heading("Badges"),
        Table(["Badge", "Meaning"], [[f"{symbol} {word}", MEANINGS[word]] for word, symbol in BADGES.items()]),
        Heading("How each row is backed"),
        Table(
            ["Row", "Kind", "What is run or read", "It holds if"],
            [[row, rule.kind, rule.how, rule.rule] for row in table.rows for rule in [table.common[row]]],
        ),
        Heading("Tools"),
        Items(
            [
                f"{name}: [{column.tool}](tools/{column.tool}.html)"
                for name, column in table.columns.items()
                if column.tool in tools
            ]
            or ["None of these was measured in the runs that are shown."]
        ),
        Heading("What became of each system"),
        Table(
            ["System", "State", "Since", "Name today", "Evidence", "Checked"],
            [status_row(name, status, today) for name, status in table.status.items()],
            "An empty date means that nobody checked.",
        ),
    ]


def note(table: Published, name: str, today: datetime.date) -> str:
    """What stands under a column's title: its state today, or that it was added."""
    if table.columns[name].added:
        return "added"
    status = table.status.get(name)
    if status is None:
        return ""
    since = f" since {status.since}" if status.since else ""
    return f"{status.state}{since}{' (old)' if status.old(today) else ''}"


def status_row(name: str, status: Status, today: datetime.date) -> list[str]:
    checked = f"{status.checked_on or ''}{' (old)' if status.old(today) else ''}"
    return [name, status.state, status.since, status.name_today, status.evidence, checked]


def shown(table: Published, cell: Judged, scenarios: Collection[str]) -> Cell:
    return Cell(
        anchor(cell.row, cell.column),
        cell.published or ("-" if table.columns[cell.column].added else "(empty)"),
        BADGES[cell.found.word],
        cell.found.word,
        cell_parts(cell, scenarios),
    )


def cell_parts(cell: Judged, scenarios: Collection[str]) -> list[Part]:
    found = cell.found
    kind = "" if found.word == found.badge else f"**{found.badge}.** "
    parts: list[Part] = [Paragraph(f"{kind}{found.said}")]
    if found.added:
        parts.append(Paragraph(found.added))
    parts.append(Paragraph(f"How ({cell.rule.kind}): {cell.rule.how}. Rule: {cell.rule.rule}."))
    for one in (found, *found.others):
        if one.run:
            trials = f", trials {', '.join(map(str, sorted(one.trials)))}" if one.trials else ""
            figure = f" [Figure and trials](scenarios/{one.scenario}.html)." if one.scenario in scenarios else ""
            parts.append(Paragraph(f"Run `{one.run}`{trials}.{figure}"))
        if one.command:
            parts.append(Code(one.command))
    return parts


def summary(tables: Sequence[Backed]) -> list[dict[str, object]]:
    """For other programs: an object a cell."""
    return [
        {
            "component": one.table.component,
            "row": cell.row,
            "column": cell.column,
            "published": cell.published,
            "added": one.table.columns[cell.column].added,
            "badge": cell.found.badge,
            "verdict": cell.found.verdict or None,
            "said": cell.found.said,
            "runs": cell.found.runs,
        }
        for one in tables
        for cell in one.cells.values()
    ]
