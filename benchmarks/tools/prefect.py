# /// script
# requires-python = ">=3.11"
# dependencies = ["prefect==3.9.1", "prefect-kubernetes==0.8.0", "certifi==2026.10.19.post1"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Prefect"
# homepage = "https://www.prefect.io"
# devices = ["cpu"]
# ///
"""Prefect: flows and tasks in this process, against the ephemeral server that Prefect starts by itself."""

import contextlib
import hashlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contract import Declined, Probing
from benchmarks.interface import Pages, fetch, wait
from benchmarks.repository import Repository
from benchmarks.symbols import there

VERSIONED = """\
import os, pathlib
from prefect import flow, task


@task
def give():
    return "{text}"


@task
def take(given):
    pathlib.Path(os.environ["ASSAY_FOUND"]).write_text(given)


@flow
def versioned():
    take(give())
"""


class Local:
    def flow(self, content: bytes) -> tuple[str, int, int]:
        from prefect import flow, task

        @task
        def give() -> tuple[bytes, int]:
            return content, os.getpid()

        @task
        def take(given: tuple[bytes, int]) -> tuple[str, int, int]:
            return hashlib.sha256(given[0]).hexdigest(), given[1], os.getpid()

        @flow
        def pipeline() -> tuple[str, int, int]:
            found: tuple[str, int, int] = take(give())
            return found

        return pipeline()

    def retry(self, attempts: Path) -> None:
        from prefect import flow, task

        @task(retries=1, retry_delay_seconds=0)
        def fails_once() -> None:
            with attempts.open("a") as file:
                file.write("attempt\n")
            if len(attempts.read_text().splitlines()) == 1:
                raise RuntimeError("the first attempt fails")

        @flow
        def pipeline() -> None:
            fails_once()

        pipeline()

    sources = ()

    def secret(self, token: str) -> str:
        from prefect import flow, task
        from prefect.blocks.system import Secret

        Secret(value=token).save("assay")

        @task
        def digest() -> str:
            return hashlib.sha256(Secret.load("assay").get().encode()).hexdigest()

        found: str = flow(lambda: digest(), name="secretive")()
        return found

    def plain(self, token: str) -> str:
        from prefect import flow, task

        @task
        def digest(given: str) -> str:
            return hashlib.sha256(given.encode()).hexdigest()

        found: str = flow(lambda given: digest(given), name="told")(token)
        return found


class Versioned:
    """A deployment whose code git keeps; each version of the code is deployed anew under the same name.

    With a deployment a commit the code of then does run again: then its user keeps the versions, and not Prefect.
    """

    def __init__(self, api: str, scratch: str) -> None:
        self.repository, self.found = Repository(Path(scratch, "repository")), Path(scratch, "versioned.txt")
        self.variables = {**os.environ, "PREFECT_API_URL": api, "ASSAY_FOUND": str(self.found)}
        self.prefect("work-pool", "create", "here", "--type", "process")

    def prefect(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "prefect", *arguments], env=self.variables, check=True)

    def run(self, text: str) -> tuple[str, str]:
        from prefect import flow
        from prefect.deployments import run_deployment
        from prefect.runner.storage import GitRepository
        from prefect.settings import PREFECT_API_URL, temporary_settings

        (self.repository.folder / "versioned.py").write_text(VERSIONED.replace("{text}", text))
        source = GitRepository(f"file://{self.repository.folder}", commit_sha=self.repository.commit())
        with temporary_settings({PREFECT_API_URL: self.variables["PREFECT_API_URL"]}):
            one = flow.from_source(source, "versioned.py:versioned")
            deployed = one.deploy("kept", "here", ignore_warnings=True, print_next_steps=False)
            run = str(run_deployment(deployed, timeout=0).id)
        return run, self.taken(run)

    def again(self, run: str) -> str:
        self.prefect("flow-run", "retry", run)
        return self.taken(run)

    def taken(self, run: str) -> str:
        self.found.unlink(missing_ok=True)
        self.prefect("flow-run", "execute", run)
        return self.found.read_text()


@contextlib.contextmanager
def versions(job: Probing) -> Iterator[Versioned]:
    root = f"http://{job.host}:{job.ports[0]}"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", job.host, "--port", str(job.ports[0])]
    with job.start(command, {"PREFECT_HOME": f"{job.scratch}/kept"}) as server:
        wait(f"{root}/api/health", server)
        yield Versioned(f"{root}/api", job.scratch)


@contextlib.contextmanager
def pages(job: Probing) -> Iterator[Pages]:
    """A server of its own with its pages; a flow is run against it once it answers."""
    root, name = f"http://{job.host}:{job.ports[0]}", f"run-{job.seed}-of-the-pages"

    def told() -> str:
        from prefect import flow
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: f"{root}/api"}):
            flow(lambda: None, name="shown", flow_run_name=name)()
        asked = {"flow_runs": {"name": {"any_": [name]}}}
        return fetch(f"{root}/api/flow_runs/filter", body=json.dumps(asked).encode())

    command = [sys.executable, "-m", "prefect", "server", "start", "--host", job.host, "--port", str(job.ports[0])]
    variables = {"PREFECT_HOME": f"{job.scratch}/served", "PREFECT_UI_API_URL": f"{root}/api"}
    with job.start(command, variables) as server:
        yield Pages(root, (name,), told, server)


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    # Before Prefect is imported, which reads them once.
    os.environ |= {"PREFECT_HOME": f"{job.scratch}/prefect", "DO_NOT_TRACK": "1", "PREFECT_LOGGING_LEVEL": "WARNING"}
    os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "90"
    import prefect

    yield {
        "orchestrate": Local(),
        "secret": Local(),
        "versions": lambda: versions(job),
        "isolate": Declined("tasks of a flow share its process; an environment belongs to a deployment"),
        "ui": lambda: pages(job),
        "operations": {
            "kubernetes": ("KubernetesWorker of prefect-kubernetes", there("prefect_kubernetes", "KubernetesWorker"))
        },
        "resources": ("prefect.task", inspect.signature(prefect.Task.__init__).parameters),
    }
