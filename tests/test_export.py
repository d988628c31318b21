"""Stored figures as other tools read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay import export
from tests.conftest import Assay


def test_statistics_by_hand() -> None:
    found = export.stats([1.0, 2.0, 3.0, 4.0, 100.0])

    assert (found["min"], found["median"], found["max"], found["rounds"]) == (1.0, 3.0, 100.0, 5)
    assert (found["q1"], found["q3"], found["iqr_outliers"]) == (2.0, 4.0, 1)
    assert found["hd15iqr"] == 4.0
    assert found["ops"] == pytest.approx(1 / 22)
    assert export.stats([2.0])["stddev"] == 0.0


def test_a_run_is_exported_in_both_formats(rows: dict[str, dict[str, Any]], assay: Assay, checkout: Path) -> None:
    run = str(rows["single_process"]["run"])
    done = assay("export", run, "--format", "pytest-benchmark")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    names = [one["name"] for one in document["benchmarks"]]
    assert "one/single_process/cpu/1 seconds a sample" in names
    assert all(one["stats"]["mean"] > 0 for one in document["benchmarks"])

    done = assay("export", run, "--format", "github", "--output", "bench.json")
    assert done.returncode == 0, done.stderr
    entries = json.loads((checkout / "bench.json").read_text())
    assert {"name", "unit", "value", "range", "extra"} == entries[0].keys()
    assert assay("export", "nothing", "--format", "github").returncode == 2
