# /// script
# requires-python = ">=3.11"
# dependencies = ["kedro==1.7.0", "kedro-viz==12.5.0"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Kedro"
# homepage = "https://kedro.org"
# devices = ["cpu"]
# ///
"""Kedro: nodes over an in-memory catalogue, run by the sequential runner."""

import contextlib
import hashlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner

from benchmarks.contract import Declined, Probing
from benchmarks.interface import Pages, fetch

PROJECT = {
    "pyproject.toml": '[tool.kedro]\npackage_name = "probe"\nproject_name = "probe"\nkedro_init_version = "1.7.0"\n',
    "conf/base/catalog.yml": "",
    "conf/local/credentials.yml": "",
    "src/probe/__init__.py": "",
    "src/probe/settings.py": "",
    "src/probe/pipeline_registry.py": """\
import hashlib, pathlib
from kedro.config import OmegaConfigLoader
from kedro.framework.project import settings
from kedro.pipeline import node, pipeline


def digest():
    loader = OmegaConfigLoader(settings.CONF_SOURCE, base_env="base", default_run_env="local")
    return hashed(loader["credentials"]["assay"]["token"])


def hashed(token):
    return pathlib.Path("found.txt").write_text(hashlib.sha256(token.encode()).hexdigest())


def register_pipelines():
    secret = pipeline([node(digest, None, "secret_kept", name="{name}")])
    told = pipeline([node(hashed, "params:token", "told_kept")])
    return {"secret": secret, "told": told, "__default__": secret + told}
""",
}


class Local:
    retry = Declined("a runner has no retries: a node that fails ends the run, which is resumed by hand")

    def flow(self, content: bytes) -> tuple[str, int, int]:
        def give() -> tuple[bytes, int]:
            return content, os.getpid()

        def take(given: tuple[bytes, int]) -> tuple[str, int, int]:
            return hashlib.sha256(given[0]).hexdigest(), given[1], os.getpid()

        whole = pipeline([node(give, None, "given"), node(take, "given", "taken")])
        found = SequentialRunner().run(whole, DataCatalog({"taken": MemoryDataset()}))["taken"]
        taken: tuple[str, int, int] = found.load() if hasattr(found, "load") else found
        return taken


class Project:
    """A project in a folder, with Kedro-Viz, which shows it, or writes what it shows."""

    # Credentials and parameters are files of the project, written by hand.
    sources = "project/conf/local/credentials.yml", "project/conf/base/parameters.yml"

    def __init__(self, scratch: str, name: str) -> None:
        self.scratch, self.folder = Path(scratch), Path(scratch, "project")
        for path, text in PROJECT.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text.replace("{name}", name))
        (self.scratch / self.sources[1]).write_text("token: none\n")

    def secret(self, token: str) -> str:
        (self.scratch / self.sources[0]).write_text(f"assay:\n  token: {token}\n")
        return self.taken("secret")

    def plain(self, token: str) -> str:
        (self.scratch / self.sources[1]).write_text(f"token: {token}\n")
        return self.taken("told")

    def taken(self, name: str) -> str:
        """What the pipeline has written; beside it Kedro-Viz leaves the pages of the project as it is now."""
        kedro, variables = [sys.executable, "-m", "kedro"], {**os.environ, "DO_NOT_TRACK": "1"}
        subprocess.run([*kedro, "run", "--pipelines", name], cwd=self.folder, env=variables, check=True)
        subprocess.run([*kedro, "viz", "build"], cwd=self.folder, env=variables, check=True)
        return (self.folder / "found.txt").read_text()


@contextlib.contextmanager
def pages(job: Probing, project: Project, name: str) -> Iterator[Pages]:
    root = f"http://{job.host}:{job.ports[0]}"
    viz = [sys.executable, "-m", "kedro", "viz", "run", "--host", job.host, "--port", str(job.ports[0]), "--no-browser"]
    # Kedro takes the project of the folder that it is in.
    command = ["sh", "-c", 'cd "$0" && exec "$@"', str(project.folder), *viz]
    with job.start(command, {"DO_NOT_TRACK": "1"}) as server:
        yield Pages(root, (name,), lambda: fetch(f"{root}/api/main"), server)


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    name = f"node_{job.seed}"
    project = Project(job.scratch, name)
    yield {
        "orchestrate": Local(),
        "secret": project,
        "versions": Declined("a project's code is not kept with its runs: Kedro has versions of data sets alone"),
        "ui": lambda: pages(job, project, name),
        "isolate": Declined("nodes of a run share its interpreter"),
        "resources": ("kedro.pipeline.node", inspect.signature(node).parameters),
    }
