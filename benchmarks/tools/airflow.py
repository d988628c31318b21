# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "apache-airflow==3.3.2", "apache-airflow-providers-cncf-kubernetes==10.25.0",
#     "apache-airflow-providers-git==1.0.1", "virtualenv==21.15.9",
# ]
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
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contract import Probing
from benchmarks.interface import Pages, fetch, wait
from benchmarks.repository import Repository
from benchmarks.symbols import there

PROVIDER = "apache-airflow-providers-cncf-kubernetes"
OPERATOR = "airflow.providers.cncf.kubernetes.operators.pod", "KubernetesPodOperator"

DAGS = """\
import datetime, hashlib, json, os, pathlib
from airflow.sdk import Connection, dag, task


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


@dag(schedule=None)
def secretive():
    @task
    def digest():
        return hashlib.sha256(Connection.get("assay").password.encode()).hexdigest()

    @task
    def keep(found):
        pathlib.Path(os.environ["ASSAY_FOUND"]).write_text(found)

    keep(digest())


@dag(schedule=None, params={"token": ""})
def told():
    @task
    def digest(params):
        return hashlib.sha256(params["token"].encode()).hexdigest()

    @task
    def keep(found):
        pathlib.Path(os.environ["ASSAY_FOUND"]).write_text(found)

    keep(digest())


hand_on()
try_again()
isolated()
secretive()
told()
"""
VERSIONED = """\
from airflow.sdk import dag, task


@dag(schedule=None)
def versioned():
    @task
    def give():
        return "{text}"

    @task
    def take(given):
        return given

    take(give())


versioned()
"""
POLLS, POLL_S = 240, 0.5  # of one run by the scheduler


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

    sources = ()

    def secret(self, token: str) -> str:
        found = self.folder / "secret.txt"
        self.airflow("connections", "add", "assay", "--conn-type", "generic", "--conn-password", token)
        self.airflow("dags", "test", "secretive", ASSAY_FOUND=str(found))
        return found.read_text()

    def plain(self, token: str) -> str:
        found = self.folder / "plain.txt"
        self.airflow("dags", "test", "told", "--conf", json.dumps({"token": token}), ASSAY_FOUND=str(found))
        return found.read_text()

    @contextlib.contextmanager
    def versions(self, job: Probing) -> Iterator["Versioned"]:
        """The scheduler over a bundle that git keeps: of a plain folder Airflow keeps the graph's versions alone."""
        root, repository = f"http://{job.host}:{job.ports[0]}", Repository(self.folder / "repository")
        kept = {"tracking_ref": "main", "repo_url": str(repository.folder)}
        bundles = [{"name": "kept", "classpath": "airflow.providers.git.bundles.git.GitDagBundle", "kwargs": kept}]
        variables = {
            **self.variables,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{root}/execution/",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        }
        command = [self.program, "api-server", "--host", job.host, "--port", str(job.ports[0]), "--workers", "1"]
        with job.start(command, variables) as server:
            token = json.loads(wait(f"{root}/auth/token", server))["access_token"]
            with job.start([self.program, "scheduler", "--skip-serve-logs"], variables):
                reread = [self.program, "dags", "reserialize"]
                yield Versioned(f"{root}/api/v2/dags/versioned", token, repository, reread, variables)


class Versioned:
    """A DAG whose runs the API server and the scheduler hold."""

    def __init__(
        self, url: str, token: str, repository: Repository, reread: Sequence[str], variables: Mapping[str, str]
    ) -> None:
        self.url, self.token, self.repository = url, token, repository
        self.reread, self.variables = reread, variables

    def run(self, text: str) -> tuple[str, str]:
        (self.repository.folder / "versioned.py").write_text(VERSIONED.replace("{text}", text))
        self.repository.commit()
        subprocess.run(self.reread, env=self.variables, check=True)
        run = json.loads(self.ask("dagRuns", logical_date=None))["dag_run_id"]
        return run, self.taken(run)

    def again(self, run: str) -> str:
        self.ask(f"dagRuns/{run}/clear", dry_run=False)  # on the version of that run, which is the default
        return self.taken(run)

    def ask(self, path: str, **body: Any) -> str:
        return fetch(f"{self.url}/{path}", token=self.token, body=json.dumps(body).encode() if body else None)

    def taken(self, run: str) -> str:
        """What the run's last task returned, once the run has ended."""
        state = ""
        for _ in range(POLLS):
            with contextlib.suppress(TimeoutError):  # a busy server may be late with an answer
                state = json.loads(self.ask(f"dagRuns/{run}"))["state"]
            if state in ("success", "failed"):
                break
            time.sleep(POLL_S)
        if state != "success":
            raise RuntimeError(f"the run's state is {state}")
        found: str = json.loads(self.ask(f"dagRuns/{run}/taskInstances/take/xcomEntries/return_value"))["value"]
        return found


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    from airflow.sdk import BaseOperator

    local = Local(job.scratch)
    yield {
        "orchestrate": local,
        "isolate": local.isolate,
        "versions": lambda: local.versions(job),
        "secret": local,
        "ui": lambda: local.pages(job),
        "operations": {"kubernetes": (f"{OPERATOR[1]} of {PROVIDER}", there(*OPERATOR))},
        "resources": ("BaseOperator", inspect.signature(BaseOperator.__init__).parameters),
    }
