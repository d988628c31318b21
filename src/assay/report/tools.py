"""A tool's own page: what was installed, how long its file is, its cells, its trials and its failures."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from assay.backing import Backed
from assay.badge import BADGES
from assay.measured import Case, Question
from assay.report.claims import anchor, path
from assay.report.document import Heading, Paragraph, Part, Table
from assay.report.pages import failure_groups
from assay.tool import Tool


def pinned(name: str, version: str, licence: str | None, releases: Mapping[str, datetime.date]) -> str:
    day = releases.get(f"{name}=={version}")
    return ", ".join([version, *([f"released {day}"] if day else []), licence or "no licence named"])


def pages_of(questions: Sequence[Question], tools: Mapping[str, Tool]) -> list[str]:
    """Names of the tools that have trials and a file."""
    return sorted({case.tool for question in questions for case in question.cases} & tools.keys())


def tool_parts(
    tool: Tool,
    questions: Sequence[Question],
    environments: Sequence[Mapping[str, Any]],
    tables: Sequence[Backed],
    releases: Mapping[str, datetime.date],
) -> list[Part]:
    own = [row for row in environments if row["tool"] == tool.name]
    built = own[-1] if own else None
    lines = len(tool.path.read_text().splitlines())
    facts = [
        ["Home", tool.homepage],
        ["File", f"`benchmarks/tools/{tool.path.name}`, {lines} lines"],
        ["Capabilities", ", ".join(tool.capabilities)],
        ["Devices", ", ".join(tool.devices)],
        ["System needs", ", ".join(tool.needs) or "none"],
        ["Python asked for", tool.requires_python],
    ]
    if built:
        pins = {name: (version, licence) for name, version, licence in built["packages"] or []}
        facts += [
            ["Python", built["python"] or "-"],
            ["Installed packages", str(len(pins))],
            ["Size", f"{built['size_bytes'] / 2**20:.0f} MiB" if built["size_bytes"] else "-"],
            ["Build", f"{max(row['build_s'] for row in own):.0f} s, the longest of these runs"],
            ["Environment", f"{built['outcome']} {built['error'] or ''}".strip()],
        ]
        facts += [[f"Pinned: {name}", pinned(name, *pins[name], releases)] for name in tool.pins if name in pins]
    parts: list[Part] = [Paragraph(tool.summary, "lead"), Table(["Fact", "Value"], facts)]
    rows = [
        [
            f"[{question.text['title']}](../scenarios/{question.name}.html)",
            case.name,
            case.device,
            outcomes(case),
        ]
        for question in questions
        for case in question.cases
        if case.tool == tool.name
    ]
    parts += [Heading("Trials"), Table(["Scenario", "Case", "Device", "Outcomes"], rows)]
    cells = [
        [
            f"[{one.table.title}: {cell.row}](../{path(one.table)}#{anchor(cell.row, cell.column)})",
            cell.column,
            cell.published or "-",
            f"{BADGES[cell.found.word]} {cell.found.word}",
            cell.found.said,
        ]
        for one in tables
        for cell in one.cells.values()
        if tool.name in (one.table.columns[cell.column].tool, one.table.columns[cell.column].stand_in)
    ]
    if cells:
        parts += [Heading("Cells"), Table(["Claim", "Column", "Published", "Badge", "What was found"], cells)]
    groups = failure_groups(questions, tool.name)
    if groups:
        parts += [Heading("Failures"), *groups]
    return parts


def outcomes(case: Case) -> str:
    counts = collections.Counter(row["outcome"] for row in case.rows)
    return ", ".join(f"{count} {word}" for word, count in counts.items())
