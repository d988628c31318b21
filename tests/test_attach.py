"""Clusters that run already, started here as separate processes: trials attach, are checked, and leave them running.

Marked `clusters`: they need the environments of four tools, so `nox -s clusters` runs them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from assay import environment, tool
from tests.conftest import ROOT, Assay

pytestmark = pytest.mark.clusters
STARTED_S = 60


def built(name: str) -> Path:
    """The tool's environment; returns its bin folder."""
    found = environment.build(tool.read(ROOT / f"benchmarks/tools/{name}.py", ROOT), ROOT / ".envs", set())
    if found.outcome == "unsupported":
        pytest.skip(found.error)
    assert found.python, f"{found.error}\n{found.remedy}"
    return found.python.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + STARTED_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port} after {STARTED_S} s")


@contextlib.contextmanager
def started(folder: Path, *commands: list[str | Path], **variables: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The commands as processes of their own, each ended with everything it started."""
    processes = []
    try:
        for number, command in enumerate(commands):
            with (folder / f"{number}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **variables})
                )
        yield processes
    finally:
        family = [child for one in processes for child in psutil.Process(one.pid).children(recursive=True)]
        for process in [*processes, *family]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.terminate()
        _, alive = psutil.wait_procs(family, timeout=10)
        for child in alive:
            child.kill()
        for one in processes:
            one.wait()


def attach(assay: Assay, checkout: Path, label: str, address: str) -> None:
    """A smoke run of one tool at two workers on the cluster is ok, and says what it attached to."""
    arguments = [
        "--profile",
        "smoke",
        "--tool",
        label,
        "--workers",
        "2",
        "--cluster",
        f"{label}={address}",
        "--no-report",
    ]
    done = assay("run", "data-parallel", *arguments)
    run = done.stderr.split()[1].rstrip(":")
    found = {row["label"]: row for row in pq.read_table(checkout / f"results/trials/{run}.parquet").to_pylist()}

    assert found[label]["outcome"] == "ok", f"{found[label]['error']}\n{found[label]['log_tail']}"
    assert found[label]["address"] == address
    assert found[label]["loss_gap"] <= 1e-4


def test_torchrun_joins_a_rendezvous_that_others_hold(assay: Assay, checkout: Path, tmp_path: Path) -> None:
    python, port = built("torch_ddp") / "python", free_port()
    code = (
        "import datetime, time, torch.distributed as d;"
        f"s = d.TCPStore('127.0.0.1', {port}, is_master=True, wait_for_workers=False); time.sleep(600)"
    )
    with started(tmp_path, [python, "-c", code]) as (store,):
        wait_for(port)
        attach(assay, checkout, "torch_ddp", f"127.0.0.1:{port}")

        assert store.poll() is None


def test_dask_attaches_to_a_scheduler_and_its_workers(assay: Assay, checkout: Path, tmp_path: Path) -> None:
    dask, port = built("dask") / "dask", free_port()
    address = f"tcp://127.0.0.1:{port}"
    scheduler = [dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = [dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", tmp_path]
    with started(tmp_path, scheduler, worker, worker, OMP_NUM_THREADS="1") as processes:
        wait_for(port)
        attach(assay, checkout, "dask", address)

        assert [one.poll() for one in processes] == [None, None, None]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder for sockets, whose paths may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def test_ray_attaches_to_a_head(assay: Assay, checkout: Path, short_path: Path) -> None:
    ray, port = built("ray") / "ray", free_port()
    command = [
        ray,
        "start",
        "--head",
        "--block",
        "--port",
        str(port),
        "--num-cpus",
        "2",
        "--node-ip-address",
        "127.0.0.1",
    ]
    flags = ["--include-dashboard", "false", "--disable-usage-stats", "--temp-dir", str(short_path)]
    with started(short_path, [*command, *flags], OMP_NUM_THREADS="1", RAY_TRAIN_V2_ENABLED="1") as (head,):
        wait_for(port)
        attach(assay, checkout, "ray", f"127.0.0.1:{port}")

        assert head.poll() is None


def test_spark_attaches_to_a_standalone_cluster(assay: Assay, checkout: Path, tmp_path: Path) -> None:
    binaries, port = built("spark"), free_port()
    home = next((binaries.parent / "lib").glob("python*/site-packages/pyspark"))
    spark_class = home / "bin/spark-class"
    address = f"spark://127.0.0.1:{port}"
    master = [spark_class, "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", str(port)]
    worker = [spark_class, "org.apache.spark.deploy.worker.Worker", address, "--host", "127.0.0.1", "--cores", "2"]
    variables = {"SPARK_HOME": str(home), "PYSPARK_PYTHON": str(binaries / "python"), "SPARK_LOCAL_IP": "127.0.0.1"}
    with started(tmp_path, [*master, "--webui-port", "0"], **variables):
        wait_for(port)
        worker += ["--memory", "4g", "--webui-port", "0", "--work-dir", tmp_path]
        with started(tmp_path, worker, **variables) as (one,):
            attach(assay, checkout, "spark", address)

            assert one.poll() is None
