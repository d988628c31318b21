# /// script
# requires-python = ">=3.11"
# dependencies = ["apache-airflow==3.3.2"]
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
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contract import Probing

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


hand_on()
try_again()
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
        }
        self.airflow("db", "migrate")

    def airflow(self, *arguments: str, **variables: str) -> None:
        program = str(Path(sys.executable).with_name("airflow"))
        subprocess.run([program, *arguments], env={**self.variables, **variables}, check=True)

    def flow(self, content: bytes) -> tuple[str, int, int]:
        given, found = self.folder / "content.bin", self.folder / "found.json"
        given.write_bytes(content)
        self.airflow("dags", "test", "hand_on", ASSAY_CONTENT=str(given), ASSAY_FOUND=str(found))
        digest, first, second = json.loads(found.read_text())
        return digest, first, second

    def retry(self, attempts: Path) -> None:
        self.airflow("dags", "test", "try_again", ASSAY_ATTEMPTS=str(attempts))


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    yield {"orchestrate": Local(job.scratch)}
