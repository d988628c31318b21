"""Batch inference that drops, repeats and swaps rows, run through the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import TOOLS, Assay

OUTCOMES = [
    ("infers", "ok", ""),
    ("reverses", "ok", ""),
    ("drops", "invalid", "2999 rows were written, 2999 of them distinct; expected were 3000"),
    ("twice", "invalid", "3001 rows were written, 3000 of them distinct"),
    ("swaps", "invalid", "2 of 3000 rows differ"),
    ("nothing", "invalid", "cannot be read"),
]


@pytest.fixture(scope="module")
def trials(assay: Assay, checkout: Path, torch_python: Path) -> dict[str, dict[str, Any]]:
    """The trials' rows by label, after one real run of all of them."""
    arguments = ["--scenarios", "faults", "--tools", str(TOOLS), "--python", str(torch_python), "--profile", "smoke"]
    done = assay("run", "batch", *arguments, "--seed", "7", "--no-report")
    assert done.returncode == 1, done.stderr
    found = pq.read_table(checkout / "results/trials").to_pylist()
    return {row["label"]: row for row in found if row["scenario"] == "batch"}


@pytest.mark.parametrize(("label", "outcome", "message"), OUTCOMES)
def test_each_fault_becomes_its_outcome(
    trials: dict[str, dict[str, Any]], label: str, outcome: str, message: str
) -> None:
    row = trials[label]

    assert row["outcome"] == outcome, f"{row['error']}\n{row['log_tail']}"
    assert message in (row["error"] or "")
    assert (row["codes"] or "") == ("MISMATCH" if outcome == "invalid" else "")


def test_a_pass_has_a_time_and_the_phases_sum(trials: dict[str, dict[str, Any]]) -> None:
    row = trials["infers"]
    phases = ("import", "launch", "warmup", "measure", "teardown")

    assert row["samples"] == 3000
    assert 0 < row["window_ns"] < row["wall_ns"]
    assert abs(sum(row[f"{name}_ns"] for name in phases) - row["wall_ns"]) < 1_000_000


def test_a_report_shows_it(trials: dict[str, dict[str, Any]], checkout: Path, assay: Assay) -> None:
    done = assay("report", "--run", str(trials["infers"]["run"]), "--output", "batch-report")

    assert done.returncode == 0, done.stderr
    page = (checkout / "batch-report/scenarios/batch.html").read_text()
    assert "Every row of every pass" not in page
    assert "every row of every pass" in page
    assert "rows differ" in (checkout / "batch-report/failures.html").read_text()
