"""Collects what was measured against its target; prints it at the end, and keeps it for the report."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from assay import checkout, machine

Note = Callable[[str, float, float, str], None]
ROWS: list[tuple[str, float, float, str]] = []


@pytest.fixture
def note() -> Note:
    """`note(what, value, target, unit)`: a target is an upper bound; a miss is printed, not raised."""

    def take(what: str, value: float, target: float, unit: str) -> None:
        ROWS.append((what, value, target, unit))

    return take


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the figures where the report finds them; a selection renews its own alone."""
    place = Path(__file__).parents[1] / "results/overhead.json"
    if not ROWS:
        return
    before = json.loads(place.read_text())["rows"] if place.exists() else []
    rows = {row["what"]: row for row in before}
    for what, value, target, unit in ROWS:
        bound = None if math.isinf(target) else target
        rows[what] = {"what": what, "value": value, "target": bound, "unit": unit, "met": value <= target}
    commit, _ = checkout.git_state(place.parents[1])
    kept = {
        "date": str(datetime.datetime.now(datetime.UTC).date()),
        "commit": commit,
        "cpu": machine.cpu_model(),
        "rows": list(rows.values()),
    }
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(kept, indent=1) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("overhead against its targets")
    for what, value, target, unit in ROWS:
        word = "met   " if value <= target else "MISSED"
        terminalreporter.write_line(f"{word} {value:10.4g} of {target:g} {unit:10} {what}")
