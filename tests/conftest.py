"""A checkout of its own for every test session, so that runs and reports of tests never meet the user's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from assay import environment, tool

ROOT = Path(__file__).parents[1]
TOOLS = Path(__file__).parent / "tools"

Assay = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a run reads."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("benchmarks", "scenarios"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(__file__).parent / "scenarios", folder / "faults")
    (ROOT / ".envs").mkdir(exist_ok=True)
    (folder / ".envs").symlink_to(ROOT / ".envs")  # building them again would take most of the session
    return folder


@pytest.fixture(scope="session")
def assay(checkout: Path) -> Assay:
    """`assay ARGS` as a user runs it, in the copied checkout; fails the test on a traceback."""

    def run(*arguments: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "assay", *arguments],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "COLUMNS": "100"},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def torch_python() -> Path:
    """An interpreter with torch: the environment of the baseline, made as a run makes it."""
    baseline = tool.read(ROOT / "benchmarks/tools/single_process.py", ROOT)
    built = environment.build(baseline, ROOT / ".envs", set())
    assert built.python, f"{built.error}\n{built.remedy}"
    return built.python


@pytest.fixture(scope="session")
def rows(assay: Assay, checkout: Path, torch_python: Path) -> dict[str, dict[str, object]]:
    """The trials' rows of the misbehaving tools by label, after one real run of all of them."""
    import pyarrow.parquet as pq

    arguments = ["--scenarios", "faults", "--tools", str(TOOLS), "--python", str(torch_python), "--profile", "smoke"]
    done = assay("run", "one", "stuck", "two", *arguments, "--seed", "7")
    assert done.returncode == 1, done.stderr
    found = pq.read_table(checkout / "results/trials").to_pylist()
    return {
        f"{row['label']}:two" if row["scenario"] == "two" else row["label"]: row
        for row in found
        if row["kind"] == "trial" and row["scenario"] in ("one", "stuck", "two")
    }


def loads(text: object) -> object:
    """JSON in a cell."""
    return json.loads(str(text))
