"""Tools that crash, hang, lie, flood and leave orphans, each a real file, run through the real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from assay.journal import Journal
from tests.conftest import TOOLS, Assay, loads

Rows = dict[str, dict[str, object]]

OUTCOMES = [
    ("single_process", "ok", ""),
    ("copies", "ok", ""),
    ("clips", "invalid", "LOSS"),
    ("nan_loss", "invalid", "NAN"),
    ("misconfigured", "invalid", "CONFIG LOSS"),
    ("lies", "invalid", "LOSS"),
    ("orphan", "ok", ""),
    ("floods", "ok", ""),
    ("scribbles", "ok", ""),
    ("forges", "error", ""),
    ("fills_disk", "error", ""),
    ("eats_memory", "out_of_memory", ""),
    ("leaves_early", "crashed", ""),
    ("raises", "error", ""),
    ("declines", "unsupported", ""),
    ("lacks_package", "environment", ""),
    ("hangs", "timeout", ""),
    ("ignores_term", "timeout", ""),
    ("sleeps", "ok", ""),
    ("torch_ddp:two", "ok", ""),
    ("segfault:two", "crashed", ""),
    ("wrong_weights:two", "invalid", "WEIGHTS LOSS"),
]


@pytest.mark.parametrize(("label", "outcome", "codes"), OUTCOMES)
def test_each_fault_becomes_its_outcome(rows: Rows, label: str, outcome: str, codes: str) -> None:
    row = rows[label]

    assert (row["outcome"], row["codes"] or "") == (outcome, codes), f"{row['error']}\n{row['log_tail']}"


def test_a_copy_that_is_written_back_ends_with_the_weights_of_the_plain_loop(rows: Rows) -> None:
    assert rows["copies"]["weights"] == rows["single_process"]["weights"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="whether users may make namespaces differs")
def test_every_trial_has_a_network_of_its_own(rows: Rows) -> None:
    assert {row["exposed"] for label, row in rows.items() if row["outcome"] == "ok"} == {""}


def test_a_plan_of_n_trials_yields_n_rows(rows: Rows) -> None:
    assert len(rows) == 17 + 2 + 4


def test_errors_name_what_happened(rows: Rows) -> None:
    assert "no scheduler is listening" in str(rows["raises"]["error"])
    assert rows["declines"]["error"] == "needs a licence"
    assert "no_such_package_of_ours" in str(rows["lacks_package"]["error"])
    assert "exit code 0" in str(rows["leaves_early"]["error"])
    assert "still in launch" in str(rows["hangs"]["error"])
    assert "GiB" in str(rows["eats_memory"]["error"])
    assert "to disk" in str(rows["fills_disk"]["error"])
    assert "wire" in str(rows["forges"]["error"])
    assert "from step 0 on" in str(rows["nan_loss"]["error"])
    assert "momentum = 0.5 instead of 0.9" in str(rows["misconfigured"]["error"])


def test_nothing_is_left_running_and_survivors_are_recorded(rows: Rows, torch_python: Path) -> None:
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "benchmarks.worker" in (process.info["cmdline"] or [])
    ]

    assert left == []
    assert loads(rows["orphan"]["survivors"]) != []
    assert loads(rows["single_process"]["survivors"]) == []


def test_a_flood_is_cut_to_its_two_ends(rows: Rows, checkout: Path) -> None:
    logs = list(checkout.glob(f".assay/runs/*/logs/{rows['floods']['trial']}.log"))

    assert len(logs) == 1
    assert logs[0].stat().st_size < 200_000
    assert "bytes left out" in logs[0].read_text()


def test_phases_sum_to_the_wall_time(rows: Rows) -> None:
    for label in ("single_process", "torch_ddp:two"):
        row = rows[label]
        phases = [int(str(row[f"{name}_ns"])) for name in ("import", "launch", "warmup", "measure", "teardown")]

        assert abs(sum(phases) - int(str(row["wall_ns"]))) < 1_000_000
        assert min(phases) > 0


def test_resources_of_the_whole_tree_are_recorded(rows: Rows) -> None:
    row = rows["torch_ddp:two"]

    assert float(str(row["cpu_s"])) > 1  # two ranks import torch
    assert set(loads(row["rss_by_role"])) > {"ranks"}  # type: ignore[call-overload]
    assert int(str(row["peak_rss"])) > int(str(row["peak_pss"])) > 100 * 2**20


def test_ranks_report_what_they_really_have(rows: Rows) -> None:
    facts = loads(rows["torch_ddp:two"]["facts"])

    assert isinstance(facts, list)
    assert [rank["threads"] for rank in facts] == [1, 1]
    if len(os.sched_getaffinity(0)) >= 2:
        assert len({tuple(rank["affinity"]) for rank in facts}) == 2


def test_two_ranks_agree_with_the_two_chunk_reference(rows: Rows) -> None:
    assert float(str(rows["torch_ddp:two"]["loss_gap"])) <= 1e-5


def test_m76_a_step_of_known_length_is_measured_within_one_per_cent(rows: Rows, checkout: Path) -> None:
    samples = pq.read_table(checkout / f"results/samples/{rows['sleeps']['run']}.parquet").to_pylist()
    own = [row for row in samples if row["trial"] == rows["sleeps"]["trial"] and row["metric"] == "step_time"]
    times = sorted(row["value"] / 1e9 for row in own)

    assert len(times) == rows["sleeps"]["window_steps"]
    # A sleep may be late on a busy machine, never early: the fastest is the step itself.
    assert times[0] == pytest.approx(0.05, rel=0.01)


def test_an_environment_that_cannot_be_made_is_a_row_with_the_installers_words(assay: Assay, checkout: Path) -> None:
    done = assay(
        "run", "unresolvable", "--scenarios", "faults", "--tools", str(TOOLS), "--profile", "smoke", "--no-report"
    )
    run = done.stderr.split()[1].rstrip(":")
    found = {row["label"]: row for row in pq.read_table(checkout / f"results/trials/{run}.parquet").to_pylist()}

    assert found["unresolvable"]["outcome"] == "environment"
    assert "numpy" in found["unresolvable"]["error"]
    assert "remedy" in found["unresolvable"]["error"]
    assert found["single_process"]["outcome"] == "ok"


def test_a_killed_run_resumes_with_exactly_the_missing_trials(assay: Assay, checkout: Path, torch_python: Path) -> None:
    arguments = ["--scenarios", "faults", "--tools", str(TOOLS), "--python", str(torch_python), "--profile", "smoke"]
    chosen = [argument for name in ("declines", "raises", "orphan", "lies") for argument in ("--tool", name)]
    engine = subprocess.Popen(
        [sys.executable, "-m", "assay", "run", "one", *arguments, *chosen, "--seed", "3", "--no-report"],
        cwd=checkout,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert engine.stderr
    run = engine.stderr.readline().split()[1].rstrip(":")
    journal = Journal(checkout / ".assay/runs" / run)
    deadline = time.monotonic() + 60
    while len([one for one in journal.entries() if one.name.isdigit()]) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    engine.stderr.close()
    before = list(journal.entries())
    # As if the engine had died while it wrote a line.
    with (journal.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"name": "4", "ca')
    done = assay("run", "--resume", run, "--no-report")

    assert done.returncode == 1  # smoke, and some of these tools are not ok
    assert "resuming: " in done.stderr
    after = list(journal.entries())
    assert after[: len(before)] == before
    assert sorted(one.name for one in after if one.name.isdigit()) == ["0", "1", "2", "3", "4"]
    trials = pq.read_table(checkout / f"results/trials/{run}.parquet").to_pylist()
    assert len([row for row in trials if row["kind"] == "trial"]) == 5
    assert [process for process in psutil.process_iter() if marked(process, run)] == []


def marked(process: psutil.Process, run: str) -> bool:
    try:
        return process.environ().get("ASSAY_RUN") == run
    except (psutil.Error, OSError):
        return False


def test_an_interrupted_run_stops_its_trial_and_says_how_to_go_on(checkout: Path, torch_python: Path) -> None:
    arguments = ["--scenarios", "faults", "--tools", str(TOOLS), "--python", str(torch_python), "--profile", "smoke"]
    engine = subprocess.Popen(
        [sys.executable, "-m", "assay", "run", "stuck", *arguments, "--tool", "hangs", "--seed", "1", "--no-report"],
        cwd=checkout,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert engine.stderr
    run = engine.stderr.readline().split()[1].rstrip(":")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(marked(process, run) for process in psutil.process_iter()):
        time.sleep(0.05)
    engine.send_signal(signal.SIGTERM)
    _, errors = engine.communicate(timeout=30)

    assert engine.returncode == 130
    assert "assay run --resume" in errors
    assert [process for process in psutil.process_iter() if marked(process, run)] == []


def test_two_runs_at_once_are_refused(assay: Assay, checkout: Path, torch_python: Path) -> None:
    import fcntl

    with (checkout / ".assay/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = assay("run", "two", "--scenarios", "faults", "--tools", str(TOOLS), "--python", str(torch_python))

    assert done.returncode == 2
    assert "another run is going on" in done.stderr


def test_try_prints_records_as_they_come(assay: Assay, torch_python: Path) -> None:
    done = assay("try", "single_process", "data-parallel", "--python", str(torch_python))

    assert done.returncode == 0, done.stderr
    assert "Phase(name='launch'" in done.stdout
    assert "outcome: ok" in done.stdout


def test_cuda_without_a_gpu_is_unsupported(assay: Assay, checkout: Path, torch_python: Path) -> None:
    from assay import machine

    if machine.has_cuda():
        pytest.skip("this machine has a GPU")
    done = assay(
        "run", "gpu", "--tool", "torch_ddp", "--profile", "smoke", "--python", str(torch_python), "--no-report"
    )

    assert done.returncode == 0, done.stderr
    assert "unsupported" in done.stderr
