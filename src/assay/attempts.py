"""The attempts at a trial: their names and numbers, what became of each, and which trials still need one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.journal import Entry
from assay.plan import Trial

REPEATS = 2  # of a trial that the noise gate rejected (M14)
ATTEMPT = 1_000_000  # added to a trial's number for each repeat; references come after the last repeat


def remaining_trials(trials: Sequence[Trial], done: Sequence[Entry]) -> list[Trial]:
    """Trials of the plan that are not finished: without a line, or rejected with repeats left."""
    outcomes = {entry.name: entry.outcome for entry in done}

    def finished(one: Trial) -> bool:
        for attempt in range(REPEATS + 1):
            outcome = outcomes.get(attempt_name(one, attempt))
            if outcome is None:
                return False
            if outcome != "invalid NOISE":
                return True
        return True

    return [one for one in trials if not finished(one)]


def attempt_name(one: Trial, attempt: int) -> str:
    return f"{one.index}.{attempt}" if attempt else str(one.index)


def outcome_word(row: Mapping[str, Any]) -> str:
    return f"{row['outcome']} {row['codes']}" if row.get("codes") else str(row["outcome"])


def throughput(row: Mapping[str, Any]) -> float | None:
    """Samples a second of a right answer, for progress; reports take it from the stored columns."""
    if row["outcome"] == "ok" and row.get("window_ns"):
        return float(row["samples"] / row["window_ns"] * 1e9)
    return None
