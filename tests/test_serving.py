"""Servers that die, lie, stall and never get ready, each a real process, run through the real engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy
import psutil
import pyarrow.parquet as pq
import pytest

from assay import companion, served, store
from assay.measured import questions
from tests.conftest import TOOLS, Assay, loads

Rows = dict[str, dict[str, Any]]

OUTCOMES = [
    ("serves", "ok", ""),
    ("dies", "crashed", ""),
    ("constant", "invalid", "MISMATCH"),
    ("stale", "invalid", "MISMATCH"),
    ("turns", "invalid", "MISMATCH"),
    ("garbage", "invalid", "ERRORS"),
    ("closes", "invalid", "ERRORS"),
    ("never", "timeout", ""),
    ("slow", "ok", ""),
    ("deaf", "ok", ""),
]


@pytest.fixture(scope="module")
def trials(assay: Assay, checkout: Path, torch_python: Path) -> Rows:
    """The trials' rows by label, after one real run of all of them."""
    arguments = ["--scenarios", "faults", "--tools", str(TOOLS), "--python", str(torch_python), "--profile", "smoke"]
    done = assay("run", "served", *arguments, "--seed", "7", "--no-report")
    assert done.returncode == 1, done.stderr
    found = pq.read_table(checkout / "results/trials").to_pylist()
    return {row["label"]: row for row in found if row["scenario"] == "served"}


@pytest.fixture(scope="module")
def offered(trials: Rows, checkout: Path) -> Rows:
    """The loads' rows by label; every trial has one here."""
    found = pq.read_table(checkout / "results/loads").to_pylist()
    labels = {(row["run"], row["trial"]): label for label, row in trials.items()}
    return {labels[row["run"], row["trial"]]: row for row in found if (row["run"], row["trial"]) in labels}


@pytest.mark.parametrize(("label", "outcome", "codes"), OUTCOMES)
def test_each_fault_becomes_its_outcome(trials: Rows, label: str, outcome: str, codes: str) -> None:
    row = trials[label]

    assert (row["outcome"], row["codes"] or "") == (outcome, codes), f"{row['error']}\n{row['log_tail']}"


def test_errors_name_what_happened(trials: Rows) -> None:
    assert "exit code 3" in trials["dies"]["error"]
    assert "status 503" in trials["never"]["error"]
    assert "differ from the golden ones" in trials["constant"]["error"]
    assert "garbage" in trials["garbage"]["error"]
    assert "closed" in trials["closes"]["error"]


def test_a_server_that_falls_behind_is_saturated_and_not_invalid(offered: Rows) -> None:
    assert offered["slow"]["saturated"]
    assert not offered["slow"]["codes"]
    assert not offered["serves"]["saturated"]
    assert offered["serves"]["completed"] >= 0.95 * offered["serves"]["scheduled"]
    assert offered["serves"]["mismatches"] == 0
    assert offered["turns"]["mismatches"] > 50


def test_a_server_that_will_not_stop_is_ended_and_recorded(trials: Rows) -> None:
    left = [process for process in psutil.process_iter(["cmdline"]) if "serves.py" in str(process.info["cmdline"])]

    assert left == []
    assert loads(trials["deaf"]["survivors"]) != []
    assert loads(trials["serves"]["survivors"]) == []


def test_the_cold_start_and_the_phases_are_told(trials: Rows) -> None:
    row = trials["serves"]

    assert 0 < row["listening_ns"] <= row["answering_ns"] <= row["ready_ns"] < row["wall_ns"]
    parts = ("import", "package", "launch", "measure", "teardown")
    assert abs(sum(row[f"{name}_ns"] for name in parts) - row["wall_ns"]) < 1_000_000


def test_server_and_generator_have_their_own_cores(trials: Rows) -> None:
    cores = loads(trials["serves"]["cores"])

    assert isinstance(cores, dict)
    if (psutil.cpu_count() or 1) > 1:
        assert not set(cores["server"]) & set(cores["generator"])


def test_calls_of_the_model_are_counted_by_their_rows(offered: Rows) -> None:
    sizes = loads(offered["serves"]["batch_sizes"])

    assert isinstance(sizes, dict)
    assert list(sizes) == ["1"]  # this server joins no requests
    assert abs(sizes["1"] - offered["serves"]["completed"]) <= 3
    assert offered["serves"]["answering_processes"] == 1


def test_a_process_counts_only_where_it_was_called(tmp_path: Path) -> None:
    def reading(**calls: list[int]) -> dict[str, numpy.ndarray]:
        for name, counts in calls.items():
            numpy.array([0, *counts], numpy.int64).tofile(tmp_path / f"batches-{name}")
        return companion.calls(tmp_path)

    before = reading(one=[5], gone=[9])  # rows of a call are the place: five calls of one row
    after = reading(one=[7, 1], gone=[9], new=[0, 0, 2])

    assert companion.between(before, after) == ({1: 2, 2: 1, 3: 2}, 2)
    assert companion.between(after, after) == ({}, 0)


def test_every_request_is_kept_with_its_stamps(trials: Rows, offered: Rows, checkout: Path) -> None:
    run = trials["serves"]["run"]
    path = checkout / f"results/requests/{run}.parquet"
    (found,) = duckdb.sql(
        "SELECT count(*), bool_and(scheduled_ns <= fired_ns AND fired_ns <= sent_ns AND sent_ns < done_ns), "
        f"bool_and(\"right\") FROM '{path}' WHERE trial = {trials['serves']['trial']}"
    ).fetchall()
    count, ordered, correct = found
    assert count > offered["serves"]["scheduled"]
    assert ordered
    assert correct


def test_a_report_has_the_latency_of_what_was_right(trials: Rows, checkout: Path, assay: Assay) -> None:
    with store.query(store.survey(checkout / "results")) as connection:
        (question,) = questions(connection, [trials["serves"]["run"]])
        one = served.served(connection, question)
    honest = next(case for case in one.cases if case.label == "serves")
    (load,) = one.loads[served.key(honest)]

    assert load.responses[0.5] is not None
    assert 0 < load.responses[0.5] < 100
    assert load.responses[0.99] is None  # 150 requests cannot show it
    assert load.cpu_per_1000 is not None
    done = assay("report", "--run", str(trials["serves"]["run"]), "--output", "served-report")
    assert done.returncode == 0, done.stderr
    page = (checkout / "served-report/scenarios/served.html").read_text()
    assert "MISMATCH" in (checkout / "served-report/failures.html").read_text()
    assert "Cold start" in page
