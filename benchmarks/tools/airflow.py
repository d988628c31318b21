# /// script
# requires-python = ">=3.11"
# dependencies = ["apache-airflow==3.3.2", "apache-airflow-providers-cncf-kubernetes==10.25.0", "virtualenv==21.15.9"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Apache Airflow"
# homepage = "https://airflow.apache.org"
# devices = ["cpu"]
# ///
"""Airflow: a DAG of two tasks by the TaskFlow API, run by `airflow dags test`; the scheduler is not in it."""

import contextlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contract import Probing
from benchmarks.interface import Pages, fetch
from benchmarks.symbols import there

PROVIDER = "apache-airflow-providers-cncf-kubernetes"
OPERATOR = "airflow.providers.cncf.kubernetes.operators.pod", "KubernetesPodOperator"

DAGS = """\
import datetime, hashlib, json, os, pathlib
from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime.datetime(2026, 1, 1))
def hand_on():
    @task
    def give():
        return [pathlib.Path(os.environ["ASSAY_CONTENT"]).read_bytes().hex(), os.getpid()]

    @task
    def take(given):
        found = [hashlib.sha256(bytes.fromhex(given[0])).hexdigest(), given[1], os.getpid()]
        pathlib.Path(os.environ["ASSAY_FOUND"]).write_text(json.dumps(found))

    take(give())


@dag(schedule=None, start_date=datetime.datetime(2026, 1, 1))
def try_again():
    @task(retries=1, retry_delay=datetime.timedelta(0))
    def fails_once():
        attempts = pathlib.Path(os.environ["ASSAY_ATTEMPTS"])
        with attempts.open("a") as file:
            file.write("attempt\\n")
        if len(attempts.read_text().splitlines()) == 1:
            raise RuntimeError("the first attempt fails")

    fails_once()


WHEELS = os.environ.get("ASSAY_WHEELS", "")
OPTIONS = {"system_site_packages": False, "pip_install_options": ["--no-index", f"--find-links={WHEELS}"]}


@dag(schedule=None, start_date=datetime.datetime(2026, 1, 1))
def isolated():
    def seen():
        import sys

        import assay_pinned

        return [assay_pinned.version, sys.prefix]

    @task
    def gather(found):
        pathlib.Path(os.environ["ASSAY_FOUND"]).write_text(json.dumps(list(found)))

    asked = os.environ.get("ASSAY_VERSIONS", "").split()
    one = [
        task.virtualenv(seen, requirements=[f"assay_pinned=={version}"], **OPTIONS).override(task_id=f"seen_{index}")()
        for index, version in enumerate(asked)
    ]
    gather(one)


hand_on()
try_again()
isolated()
"""


class Local:
    def __init__(self, scratch: str) -> None:
        self.folder = Path(scratch)
        (self.folder / "dags").mkdir()
        (self.folder / "dags" / "probes.py").write_text(DAGS)
        self.variables = {
            **os.environ,
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__STANDARD__VENV_INSTALL_METHOD": "pip",  # uv would seed an environment from an index
        }
        self.program = str(Path(sys.executable).with_name("airflow"))
        self.airflow("db", "migrate")

    def airflow(self, *arguments: str, **variables: str) -> None:
        subprocess.run([self.program, *arguments], env={**self.variables, **variables}, check=True)

    def flow(self, content: bytes) -> tuple[str, int, int]:
        given, found = self.folder / "content.bin", self.folder / "found.json"
        given.write_bytes(content)
        self.airflow("dags", "test", "hand_on", ASSAY_CONTENT=str(given), ASSAY_FOUND=str(found))
        digest, first, second = json.loads(found.read_text())
        return digest, first, second

    def retry(self, attempts: Path) -> None:
        self.airflow("dags", "test", "try_again", ASSAY_ATTEMPTS=str(attempts))

    def isolate(self, wheels: Path, versions: Sequence[str]) -> list[tuple[str, str]]:
        found = self.folder / "isolated.json"
        asked = {"ASSAY_WHEELS": str(wheels), "ASSAY_VERSIONS": " ".join(versions), "ASSAY_FOUND": str(found)}
        self.airflow("dags", "test", "isolated", **asked)
        return [(version, prefix) for version, prefix in json.loads(found.read_text())]

    @contextlib.contextmanager
    def pages(self, job: Probing) -> Iterator[Pages]:
        """The API server with its pages; all who call are let in, as on a workstation."""
        root, attempts = f"http://{job.host}:{job.ports[0]}", self.folder / "shown.txt"
        self.airflow("dags", "reserialize")
        self.airflow("dags", "test", "try_again", ASSAY_ATTEMPTS=str(attempts))
        listed = [self.program, "dags", "list-runs", "try_again", "--output", "json"]
        runs = subprocess.run(listed, env=self.variables, capture_output=True, text=True, check=True).stdout
        made = json.loads(runs[runs.index("[{") :])[0]["run_id"]

        def told() -> str:
            token = json.loads(fetch(f"{root}/auth/token"))["access_token"]
            return fetch(f"{root}/api/v2/dags/try_again/dagRuns", token=token)

        command = [self.program, "api-server", "--host", job.host, "--port", str(job.ports[0]), "--workers", "1"]
        with job.start(command, self.variables) as server:
            yield Pages(root, (made,), told, server)


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    from airflow.sdk import BaseOperator

    local = Local(job.scratch)
    yield {
        "orchestrate": local,
        "isolate": local.isolate,
        "ui": lambda: local.pages(job),
        "operations": {"kubernetes": (f"{OPERATOR[1]} of {PROVIDER}", there(*OPERATOR))},
        "resources": ("BaseOperator", inspect.signature(BaseOperator.__init__).parameters),
    }
