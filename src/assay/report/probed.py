"""What the pages of a question hold that was answered by probes."""

from __future__ import annotations

import collections
import json
from typing import Any

from assay.measured import Case, Question
from assay.report.answer import provenance, reproduce
from assay.report.document import Code, Details, Heading, Paragraph, Part, Table
from assay.report.figures import interval_text
from assay.statistics import geometric

STATES = "failed: tried, and wrong; none: tried, and the tool has none or refuses; declined: said, not tried."
SYMBOLS = {"passed": "✓", "failed": "!", "none": "–", "declined": "✎"}


def findings(case: Case) -> dict[str, list[dict[str, Any]]]:
    """By name, what each right trial found."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in case.ok():
        for one in json.loads(row["findings"] or "[]"):
            found.setdefault(one["name"], []).append(one)
    return found


def finding_table(question: Question) -> Table:
    """A row a tool and finding: how often it passed, what the last said, and the mean of what was measured."""
    columns, rows = ["Tool", "Probe", "Found", "What the last said"], []
    for case in question.cases:
        for name, times in findings(case).items():
            counts = collections.Counter(one["state"] for one in times)
            states = ", ".join(f"{SYMBOLS[state]} {state} {count} of {len(times)}" for state, count in counts.items())
            mean = geometric([one["value"] for one in times if one.get("value") is not None])
            rows.append([case.label, name, states, times[-1]["said"], interval_text(mean) if mean else "-"])
    if any(row[-1] != "-" for row in rows):
        columns.append("Ratio, geometric mean")
    return Table(
        columns,
        [row[: len(columns)] for row in rows],
        STATES,
    )


def overview(question: Question) -> Table:
    """A row a tool: the names of what was found, by how it ended; with how often where trials differ."""
    rows = []
    for case in question.cases:
        cells: dict[str, list[str]] = {state: [] for state in SYMBOLS}
        for name, times in findings(case).items():
            counts = collections.Counter(one["state"] for one in times)
            for state, count in counts.items():
                cells[state].append(name if len(counts) == 1 else f"{name} ({count} of {len(times)})")
        if any(cells.values()):
            rows.append([case.label, *(", ".join(cells[state]) or "-" for state in SYMBOLS)])
    return Table(["Tool", *(f"{symbol} {state}" for state, symbol in SYMBOLS.items())], rows, STATES)


def index_parts(question: Question) -> list[Part]:
    return [
        Heading(question.text["title"]),
        Paragraph(question.text["question"], "lead"),
        overview(question),
        Paragraph(f"{provenance(question)} [What each said, and all trials](scenarios/{question.name}.html)."),
    ]


def scenario_parts(question: Question) -> list[Part]:
    parts: list[Part] = [
        Paragraph(question.text["question"], "lead"),
        Paragraph(provenance(question)),
        Paragraph(
            "Each tool is asked by assay's own code (`benchmarks/probes.py`) over the few verbs that its file gives; "
            "what a tool must give back is drawn anew in each trial, and deleted here before it is asked for."
        ),
    ]
    if question.text.get("shows_not"):
        parts.append(Paragraph(f"What it does not show: {question.text['shows_not']}"))
    rows = [
        [
            case.label,
            str(row["block"] + 1),
            row["outcome"],
            f"{row['wall_ns'] / 1e9:.1f}" if row["wall_ns"] else "-",
            ", ".join(
                f"{one['name']} {one['value']:.3f}"
                for one in json.loads(row["findings"] or "[]")
                if one.get("value") is not None
            )
            or "-",
        ]
        for case in question.cases
        for row in case.rows
    ]
    return [
        *parts,
        finding_table(question),
        Details("Every trial", [Table(["Tool", "Block", "Outcome", "Whole trial (s)", "Ratios measured"], rows)]),
        Heading("Again"),
        Code(reproduce(question)),
        Details("The scenario's file", [Code(question.run["scenario_text"].rstrip())]),
    ]
