"""Collects what was measured against its target, and prints it as a table at the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Note = Callable[[str, float, float, str], None]
ROWS: list[tuple[str, float, float, str]] = []


@pytest.fixture
def note() -> Note:
    """`note(what, value, target, unit)`: a target is an upper bound; a miss is printed, not raised."""

    def take(what: str, value: float, target: float, unit: str) -> None:
        ROWS.append((what, value, target, unit))

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("overhead against its targets")
    for what, value, target, unit in ROWS:
        word = "met   " if value <= target else "MISSED"
        terminalreporter.write_line(f"{word} {value:10.4g} of {target:g} {unit:10} {what}")
