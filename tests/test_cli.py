"""Commands as a user types them: one clear error, a documented exit code, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Assay


@pytest.mark.parametrize("what", ["tools", "scenarios", "runs"])
def test_list(assay: Assay, what: str) -> None:
    assert assay("list", what).returncode == 0


def test_dry_run_prints_the_plan_and_its_duration(assay: Assay) -> None:
    done = assay("run", "data-parallel", "--dry-run", "--seed", "5")

    assert done.returncode == 0
    assert "data-parallel/torch_ddp (control)/cpu/2" in done.stdout
    assert "45 trials, seed 5, about" in done.stdout


def test_smoke_trains_with_the_most_workers_unless_told_otherwise(assay: Assay) -> None:
    most = assay("run", "data-parallel", "--dry-run", "--profile", "smoke").stdout
    told = assay("run", "data-parallel", "--dry-run", "--profile", "smoke", "--workers", "1").stdout

    assert "data-parallel/torch_ddp/cpu/2" in most
    assert "data-parallel/torch_ddp/cpu/1" not in most
    assert "data-parallel/single_process/cpu/1" in most
    assert "data-parallel/torch_ddp/cpu/1" in told
    assert "offline/deepspeed/cpu/1" in assay("run", "offline", "--dry-run", "--profile", "smoke").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing"], "no scenario 'nothing'; there are autoscaling, batching"),
        (["run", "data-parallel", "--tool", "rai"], "no tool in these scenarios 'rai'"),
        (["run", "--scenarios", "benchmarks"], "no scenarios (*.toml) here"),
        (["run", "--tools", "nowhere"], "no such folder of tools"),
        (["run", "data-parallel", "--workers", "3"], "cannot be split among 3 workers"),
        (["run", "--python", "/no/python"], "no such interpreter"),
        (["run", "--resume", "x"], "no run x in"),
        (["try", "single_process", "data-parallel", "--workers", "2"], "the baseline runs with one worker"),
        (["new", "tool", "1x"], "cannot name a tool"),
    ],
)
def test_bad_input_is_one_error_with_exit_code_2(assay: Assay, arguments: list[str], message: str) -> None:
    done = assay(*arguments)

    assert done.returncode == 2, done.stderr
    assert message in done.stderr


def test_a_flag_that_does_not_exist_is_argparses_error(assay: Assay) -> None:
    assert assay("run", "--fast").returncode == 2


def test_doctor_names_every_tool(assay: Assay) -> None:
    done = assay("doctor")

    assert all(name in done.stdout for name in ("horovod", "spark", "uv:", "cores"))


def test_new_tool_writes_a_file_that_is_listed(assay: Assay, tmp_path: Path) -> None:
    done = assay("new", "tool", "mine", "--folder", str(tmp_path))

    assert done.returncode == 0
    assert "mine" in assay("list", "tools", "--tools", str(tmp_path)).stdout


def test_a_table_without_its_label_is_one_error(assay: Assay, checkout: Path) -> None:
    folder = checkout / "tables"
    folder.mkdir(exist_ok=True)
    (folder / "data.csv").write_text("a,b,y\n1,x,0\n2,y,1\n")
    (folder / "mine.toml").write_text(
        'title = "T"\nquestion = "Q"\ncapability = "train"\nworkload = "table"\nbatch = 2\n'
        'options = { path = "tables/data.csv", label = "z" }\noptimizer = { lr = 0.1 }\n'
        '[matrix]\ntools = ["single_process"]\n'
    )
    done = assay("run", "mine", "--scenarios", "tables", "--profile", "smoke", "--no-report")

    assert done.returncode == 2
    assert "no column 'z'; it has a, b, y" in done.stderr
