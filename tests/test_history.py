"""Series over runs: a planted change of level is marked, noise is not."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from assay import history, measured, store
from assay.history import Point
from assay.journal import Entry, Journal
from assay.selection import Layout
from tests.conftest import ROOT


def a_run(root: Path, number: int, throughput: float, profile: str = "quick") -> None:
    """A sealed run of three trials of one case."""
    draw = random.Random(number)
    header = {
        "run": f"202601{number:02}T000000Z-0000", "started_utc": f"2026-01-{number:02}", "assay": "",
        "method_version": 1, "commit": f"{number:040}", "dirty": False, "profile": profile, "seed": 1, "argv": "[]",
        "python": None, "noise_gate": "{}", "machine": json.dumps({"cpu": "x", "cpuset": [0, 1]}),
        "scenarios": [{"scenario": "q", "scenario_digest": "", "scenario_text": ""}],
    }  # fmt: skip
    journal = Journal.create(root / ".assay/runs", header)
    journal.write("environments", [{"run": journal.run, "tool": "t", "package": "p", "version": str(number // 10)}])
    for trial in range(3):
        with store.TrialFile(journal.path(str(trial)), trial) as file:
            file.finish({
                "run": journal.run, "trial": trial, "kind": "trial", "scenario": "q", "label": "t", "tool": "t",
                "device": "cpu", "workers": 1, "control": False, "block": trial, "outcome": "ok", "samples": 1000,
                "window_ns": int(1e12 / throughput * draw.gauss(1, 0.01)),
            })  # fmt: skip
        journal.append(Entry(str(trial), "q/t/cpu/1", "ok", 1.0))
    store.seal(journal, root / "results", "")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Twenty runs; the last eight are a tenth slower."""
    root = tmp_path_factory.mktemp("history")
    (root / "benchmarks").symlink_to(ROOT / "benchmarks")
    for number in range(1, 21):
        a_run(root, number, 100 if number <= 12 else 90)
    return Layout.find(root)


def test_a_planted_change_is_marked_where_it_is(place: Layout) -> None:
    (points,) = history.with_changes(history.series("q", place)).values()

    assert len(points) == 20
    assert [index for index, point in enumerate(points) if point.changed] == [12]
    assert points[9].release == "p 1"
    assert [point.release for point in points].count("") == 18


def test_a_smoke_run_does_not_stand_in_for_another(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    a_run(tmp_path, 1, 100)
    a_run(tmp_path, 2, 50, profile="smoke")
    with store.query(store.survey(tmp_path / "results")) as connection:
        both = [run for (run,) in connection.execute("SELECT run FROM runs").fetchall()]
        (found,) = measured.questions(connection, both)

    assert found.run["profile"] == "quick"


def test_a_flat_series_has_no_change() -> None:
    draw = random.Random(2)
    points = [Point(str(number), "", "", 3, draw.gauss(100, 1)) for number in range(30)]
    (found,) = history.with_changes({"flat": points}).values()

    assert not any(point.changed for point in found)


def test_the_command_prints_the_series(place: Layout) -> None:
    command = [sys.executable, "-m", "assay", "history"]
    done = subprocess.run([*command, "q"], cwd=place.root, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "q/t/cpu/1 on x, 2 cores (" in done.stdout
    assert done.stdout.count("new level") == 1
    done = subprocess.run([*command, "none"], cwd=place.root, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no run of none" in done.stderr
