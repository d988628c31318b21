"""The ruler's own error: what the harness adds to what it measures, and how it copes with size.

Run on a quiet machine: `nox -s overhead`. Times are CPU seconds where they say so; wall times are medians.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from assay import environment, load, machine, runner, store, tool, trial
from assay.journal import Entry, Journal
from assay.runner import Launch, Limits
from assay.tree import become_subreaper

ROOT = Path(__file__).parents[1]
Note = Callable[[str, float, float, str], None]
LIMITS = Limits(timeout_s=60, launch_s=60, memory=2**40, disk=2**40)
MILLION = 1_000_000


def child_cpu(command: list[str], cwd: Path) -> float:
    """CPU seconds of one child to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help(benchmark: Any, note: Note) -> None:
    spent = []
    benchmark.pedantic(
        lambda: spent.append(child_cpu([sys.executable, "-m", "assay", "--help"], ROOT)), rounds=10, warmup_rounds=2
    )
    note("assay --help, CPU", statistics.median(spent), 0.15, "s")


def test_listing_a_thousand_cases(benchmark: Any, note: Note, tmp_path: Path) -> None:
    workers = list(range(1, 144))
    (tmp_path / "many.toml").write_text(
        'title = "T"\nquestion = "Q"\ncapability = "train"\nworkload = "digits-mlp"\nbatch_per_worker = 8\n'
        'optimizer = { lr = 0.1 }\n[matrix]\ntools = ["torch_ddp", "ray", "dask", "spark", "deepspeed", "horovod"]\n'
        f'workers = {workers}\n[measure]\nbaseline = "single_process"\ncontrol = "torch_ddp"\n'
    )
    command = [sys.executable, "-m", "assay", "run", "--dry-run", "--scenarios", str(tmp_path), "--profile", "smoke"]
    spent = []
    benchmark.pedantic(lambda: spent.append(child_cpu(command, ROOT)), rounds=5, warmup_rounds=1)
    note("1,002 cases planned and listed, CPU", statistics.median(spent), 0.5, "s")


@pytest.fixture
def null_tool(tmp_path: Path) -> Path:
    """A tools folder with a tool that does nothing, and one that waits with ten idle children."""
    folder = tmp_path / "nulltools"
    folder.mkdir()
    (folder / "null.py").write_text("def train(job):\n    return []\n")
    (folder / "idle.py").write_text(
        "import subprocess, sys, time\n"
        "def train(job):\n"
        "    sleep = [sys.executable, '-c', 'import time; time.sleep(10)']\n"
        "    children = [subprocess.Popen(sleep) for _ in range(10)]\n"
        "    time.sleep(10)\n"
        "    for child in children: child.wait()\n"
        "    return []\n"
    )
    return tmp_path


JOB = {
    "workload": "digits-mlp", "options": {}, "inputs": "", "device": "cpu", "workers": 1, "batch": 1, "optimizer": {},
    "requested": {}, "quality_steps": 0, "quality_every": 1, "warmup_steps": 0, "window_steps": 0, "seed": 0,
    "threads": 1, "cores": [],
}  # fmt: skip


def run_worker(module: str, imports: Path, folder: Path) -> runner.Ending:
    """One trial as the engine runs it: scratch folder, worker, file, journal line."""
    journal = Journal(folder)
    python = Path(sys.executable)
    with store.TrialFile(journal.path("0"), 0) as file, trial.scratch_folder() as scratch:
        ending = runner.run(
            Launch(
                python=python,
                request={"action": "train", "module": module, "job": {**JOB, "scratch": str(scratch)}},
                scratch=scratch,
                environment=runner.environment(python, scratch, [ROOT, imports], "overhead", 1),
            ),
            LIMITS,
            trial.Sink(file),
            lambda phase: None,
        )
        file.finish({"trial": 0, **trial.ending_fields(ending, [])})
        journal.append(Entry("0", "case", ending.outcome, 1.0))
    return ending


def test_an_empty_trial(benchmark: Any, note: Note, null_tool: Path, tmp_path: Path) -> None:
    become_subreaper()
    (tmp_path / "run/trials").mkdir(parents=True)
    cpu, walls, bare = [], [], []

    def both() -> None:
        started, spent = time.perf_counter(), time.process_time()
        ending = run_worker("nulltools.null", null_tool, tmp_path / "run")
        walls.append(time.perf_counter() - started)
        cpu.append(time.process_time() - spent)
        assert ending.outcome == "ok", ending.error
        # What any fresh process pays, with the imports that a worker needs.
        started = time.perf_counter()
        code = "import dataclasses, json, importlib, traceback, threading, gc, hashlib, platform, resource, socket"
        subprocess.run([sys.executable, "-c", code], check=True)
        bare.append(time.perf_counter() - started)

    benchmark.pedantic(both, rounds=20, warmup_rounds=3)
    note("an empty trial, the engine's CPU", statistics.median(cpu) * 1000, 30, "ms")
    above = [wall - start for wall, start in zip(walls, bare, strict=True)]
    note("an empty trial, time above its interpreter's", statistics.median(above) * 1000, 100, "ms")


def test_a_record_in_the_rank(benchmark: Any, note: Note) -> None:
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.loop import HostClock
    finally:
        sys.path.remove(str(ROOT))
    clock = HostClock()
    clock.open()
    benchmark(clock.mark)
    note("a record in the rank", benchmark.stats.stats.median * 1e6, 10, "us")


def test_the_engine_while_a_window_runs(benchmark: Any, note: Note, null_tool: Path, tmp_path: Path) -> None:
    become_subreaper()
    (tmp_path / "run/trials").mkdir(parents=True)
    shares = []

    def idle() -> None:
        started, spent = time.perf_counter(), time.process_time()
        run_worker("nulltools.idle", null_tool, tmp_path / "run")
        shares.append((time.process_time() - spent) / (time.perf_counter() - started))

    benchmark.pedantic(idle, rounds=3)
    note("the engine while a tree of eleven processes runs", statistics.median(shares) * 100, 1, "% of a core")


def write_run(folder: Path, trials: int, steps: int) -> Journal:
    """A run of so many trials, ten a tool, times as a real step's: log-normal, to the nanosecond."""
    header = {
        "run": folder.name, "started_utc": "2026-01-01T00:00:00+00:00", "assay": "", "method_version": 1,
        "commit": None, "dirty": None,
        "profile": "full", "seed": 1, "argv": "[]", "python": None, "noise_gate": "{}",
        "machine": json.dumps({"cpu": "", "cores": 1, "cpuset": [0], "memory_bytes": 1}),
        "scenarios": [{
            "scenario": "million", "scenario_digest": "",
            "scenario_text": 'title = "Million"\nquestion = "?"\ncapability = "train"\nworkload = "x"\nbatch = 1\n'
            'optimizer = {lr = 1}\n'
            '[measure]\nbaseline = "tool0"\ncontrol = "tool0"\n',
        }],
    }  # fmt: skip
    journal = Journal.create(folder.parent, header)
    draw = numpy.random.default_rng(1)
    for number in range(trials):
        values = (1e6 * numpy.exp(0.03 * draw.standard_normal(steps))).astype(int).tolist()
        at = list(itertools.accumulate(values, initial=10**15))[1:]
        started = time.process_time()
        with store.TrialFile(journal.path(str(number)), number) as file:
            for start in range(0, steps, 10_000):
                part = slice(start, start + 10_000)
                file.add(0, "step_time", "ns", "measure", start, at[part], values[part])
            file.finish({
                "run": journal.run, "trial": number, "kind": "trial", "scenario": "million",
                "label": f"tool{number // 10}",
                "tool": f"tool{number // 10}", "device": "cpu", "workers": 1, "control": False, "block": number % 10,
                "attempt": 0, "outcome": "ok", "samples": steps, "window_ns": at[-1] - 10**15,
            })  # fmt: skip
        WRITING.append(time.process_time() - started)
        journal.append(Entry(str(number), "case", "ok", 1.0))
    return journal


WRITING: list[float] = []


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A checkout with a sealed run of a million samples, and the CPU seconds that writing and sealing took."""
    root = tmp_path_factory.mktemp("million")
    (root / "benchmarks").symlink_to(ROOT / "benchmarks")
    journal = write_run(root / ".assay/runs/20260101T000000Z-0000", trials=20, steps=50_000)
    started = time.process_time()
    store.seal(journal, root / "results", "")
    return root, sum(WRITING) + time.process_time() - started


def test_a_million_samples_written_and_sealed(benchmark: Any, note: Note, million: tuple[Path, float]) -> None:
    root, spent = million
    journal = Journal(next((root / ".assay/runs").iterdir()))
    benchmark.pedantic(lambda: store.seal(journal, root / "results", ""), rounds=5)
    size = sum(path.stat().st_size for path in (root / "results/samples").glob("*.parquet"))
    note("1,000,000 samples written by trial and sealed, CPU", spent, 0.3, "s")
    note("a stored sample", size / MILLION, 10, "B")


def reported(root: Path) -> tuple[float, float]:
    """Seconds and peak MiB of rendering everything that is stored below `root`."""
    # The kernel's own high-water mark of the child: what rusage gives begins at the size of the process that forked.
    code = (
        "import sys; from pathlib import Path; from assay.cli import run_command;"
        "code = run_command(['report', '--quiet']); text = Path('/proc/self/status').read_text();"
        "print(text.split('VmHWM:')[1].split()[0]); sys.exit(code)"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - started, int(done.stdout) / 1024


def test_a_million_samples_reported(benchmark: Any, note: Note, million: tuple[Path, float]) -> None:
    root, _ = million
    walls, peaks = [], []

    def report() -> None:
        wall, peak = reported(root)
        walls.append(wall)
        peaks.append(peak)

    benchmark.pedantic(report, rounds=5, warmup_rounds=1)
    note("1,000,000 samples reported", statistics.median(walls), 5, "s")
    note("1,000,000 samples reported, peak memory", max(peaks), 300, "MiB")


@pytest.mark.parametrize(
    ("name", "trials", "steps"), [("10,000,000 samples", 200, 50_000), ("1,000 trials", 1_000, 100)]
)
def test_much_reported(benchmark: Any, note: Note, tmp_path: Path, name: str, trials: int, steps: int) -> None:
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    journal = write_run(tmp_path / ".assay/runs/20260101T000000Z-0000", trials, steps)
    store.seal(journal, tmp_path / "results", "")
    wall, peak = benchmark.pedantic(lambda: reported(tmp_path), rounds=1)
    note(f"{name} reported", wall, 10, "s")
    note(f"{name} reported, peak memory", peak, 1024, "MiB")
    page = tmp_path / "reports/latest/scenarios/million.html"
    note(f"{name}: the scenario's page, compressed", len(gzip.compress(page.read_bytes())) / 1024, 300, "KiB")


def test_a_finished_trial_on_resume(benchmark: Any, note: Note, tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, {"run": "r", "scenarios": []})
    for number in range(1000):
        journal.append(Entry(str(number), "data-parallel/torch_ddp (control)/cpu/2", "ok", 12.345678, 1234.5678))
    benchmark(lambda: list(journal.entries()))
    note("a finished trial on resume", benchmark.stats.stats.median, 0.5, "ms")  # 1,000 of them: s each is ms
    note("a finished trial's journal line", (journal.folder / "journal.jsonl").stat().st_size / 1000, 1000, "B")


def test_torch_ddp_as_by_hand_with_torchrun(benchmark: Any, note: Note, tmp_path: Path) -> None:
    """Paired and interleaved: the same job file, once through the engine and once by torchrun in a plain shell."""
    become_subreaper()
    one = tool.read(ROOT / "benchmarks/tools/torch_ddp.py", ROOT)
    built = environment.build(one, ROOT / ".envs", set())
    assert built.python, built.error
    inputs = tmp_path / "inputs"
    make = {"action": "inputs", "workload": "digits-mlp", "options": {"width": 1024, "depth": 3}, "seed": 1}
    inputs.mkdir()
    worker_once({**make, "folder": str(inputs)}, Path(sys.executable))
    sgd = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0}
    job = {
        **JOB, "options": make["options"], "inputs": str(inputs), "workers": 2, "batch": 256, "optimizer": sgd,
        "warmup_steps": 20, "window_steps": 100, "cores": sorted(os.sched_getaffinity(0))[:2],
    }  # fmt: skip
    logs: list[float] = []

    def window(ranks: list[dict[str, Any]]) -> float:
        stamps = [rank["stamps"] for rank in ranks]
        return (max(s["window_close"] for s in stamps) - min(s["window_open"] for s in stamps)) / 1e9

    def pair(order: list[str]) -> None:
        times = {}
        for way in order:
            if way == "engine":
                ranks = worker_once({"action": "train", "module": one.module, "job": job}, built.python or Path())
            else:
                ranks = by_hand(job, built.python or Path(), tmp_path)
            times[way] = window(ranks)
        logs.append(math.log(times["engine"] / times["hand"]))

    orders = [["engine", "hand"], ["hand", "engine"]] * 5
    benchmark.pedantic(lambda: pair(orders[len(logs)]), rounds=len(orders))
    ratio = math.exp(statistics.mean(logs))
    half = 2.262 * statistics.stdev(logs) / math.sqrt(len(logs))  # t, 9 degrees of freedom, 95 %
    benchmark.extra_info["ratio"] = [ratio * math.exp(-half), ratio, ratio * math.exp(half)]
    note("torch_ddp under assay against by hand, n = 10", abs(ratio - 1) * 100, 1, "%")
    note("the same, 95 % half-width", half * 100, 1, "%")


def worker_once(request: dict[str, Any], python: Path) -> list[dict[str, Any]]:
    """Run one request through the engine; returns the ranks' records."""
    import dataclasses

    from assay import wire

    found: list[dict[str, Any]] = []

    def take(record: wire.Record) -> None:
        if isinstance(record, wire.Rank):
            found.append(dataclasses.asdict(record))

    with trial.scratch_folder() as scratch:
        if "job" in request:
            request = {**request, "job": {**request["job"], "scratch": str(scratch)}}
        launch = Launch(python, request, scratch, runner.environment(python, scratch, [ROOT], "overhead", 1))
        ending = runner.run(launch, LIMITS, take, lambda phase: None)
        assert ending.outcome == "ok", f"{ending.error}\n{ending.log_tail}"
    return found


def by_hand(job: dict[str, Any], python: Path, folder: Path) -> list[dict[str, Any]]:
    """What a user types: torchrun with the module and its job file."""
    scratch = folder / "hand"
    scratch.mkdir(exist_ok=True)
    (scratch / "job.json").write_text(json.dumps({**job, "scratch": str(scratch), "address": None, "settings": {}}))
    command = [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, "--module", "benchmarks.tools.torch_ddp", str(scratch / "job.json")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    return [json.loads((scratch / f"rank-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize(
    ("rate", "lag_ms", "cpu_us"), [(1_000, 1, math.inf), (2_000, 1, math.inf), (10_000, math.inf, 40)]
)
def test_generator(tmp_path: Path, note: Note, rate: int, lag_ms: float, cpu_us: float) -> None:
    """A generator on one core against the null server on another."""
    available = machine.cores()
    port = tmp_path / "port"
    body = b'{"instances": [[1]]}'
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    command = [sys.executable, str(ROOT / "tests/servers/stalling.py"), str(port), "60", "0", "0"]
    server = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, available[:1]))
    before = os.sched_getaffinity(0)
    try:
        while not port.exists():
            time.sleep(0.01)
        os.sched_setaffinity(0, available[-1:])
        with (tmp_path / "bodies").open("wb") as bodies:
            generator = load.Generator("127.0.0.1", int(port.read_text()), [request], bodies, 1024, 10)
            moments = load.arrivals("poisson", rate, 10, 1)
            log = generator.open_loop(moments, numpy.zeros(len(moments)), lambda start: None)
            generator.close()
    finally:
        os.sched_setaffinity(0, before)
        server.kill()
        server.wait()
    assert (log.status == 200).all()
    lag = float(numpy.percentile(log.fired - log.scheduled, 99)) / 1e6
    spent = log.cpu_ns / 1e3 / len(log)
    held = len(log) / (log.done.max() - log.scheduled.min()) * 1e9
    assert held > 0.99 * rate
    note(f"generator at {rate:,}/s: lag p99", lag, lag_ms, "ms")
    note(f"generator at {rate:,}/s: CPU a request", spent, cpu_us, "us")
