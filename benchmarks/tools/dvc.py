# /// script
# requires-python = ">=3.11"
# dependencies = ["dvc==3.67.1", "dvclive==3.49.1", "gto==1.10.1"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "DVC"
# homepage = "https://dvc.org"
# devices = ["cpu"]
# ///
"""DVC: data by hash beside git, DVCLive for experiments, GTO for a registry of git tags."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dvc.api
from dvclive import Live

from benchmarks.contract import Probing


class Repository:
    """A git repository with DVC in it, and a remote beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "someone@example.org")
        self.git("config", "user.name", "someone")
        self.dvc("init", "-q")
        self.dvc("config", "-q", "core.check_update", "false")
        self.dvc("remote", "add", "-q", "-d", "store", str(folder.with_name("store")))
        self.commit("begin")

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def gto(self, *arguments: str) -> str:
        return self.run(str(Path(sys.executable).with_name("gto")), *arguments)

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def keep(self, content: bytes) -> str:
        """A state of `data.bin`; its id is the commit."""
        (self.folder / "data.bin").write_bytes(content)
        self.dvc("add", "-q", "data.bin")
        return self.commit("a state")

    def commit(self, message: str) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message, "--allow-empty")
        # A push sends the workspace alone; older states have to go now.
        self.dvc("push", "-q")
        return self.git("rev-parse", "HEAD")

    def fetch(self, state: str) -> bytes:
        content: bytes = dvc.api.read("data.bin", repo=str(self.folder), rev=state, mode="rb")
        return content


class Tracker:
    """DVCLive: a folder a run, with metrics as tab-separated lines."""

    # `dvc exp` shows, compares and removes experiments that are saved as git references; it is not asked yet.
    search = delete = None

    def __init__(self, repository: Repository) -> None:
        self.folder = repository.folder
        os.chdir(self.folder)  # DVCLive finds the repository by the working folder

    def log(self, name: str, parameters: Mapping[str, str], series: Mapping[str, list[float]], artefact: Path) -> str:
        place = self.folder / name.replace(" ", "-")
        with Live(str(place), save_dvc_exp=False, dvcyaml=None) as live:
            live.log_params(dict(parameters))
            for step in range(len(next(iter(series.values())))):
                for metric, values in series.items():
                    live.log_metric(metric, values[step])
                live.next_step()
            live.log_artifact(str(artefact), copy=True, cache=False)
        return place.name

    def read(self, run: str) -> tuple[Mapping[str, str], Mapping[str, list[float]], bytes]:
        import yaml

        place = self.folder / run
        parameters = yaml.safe_load((place / "params.yaml").read_text())
        series = {}
        for file in (place / "plots" / "metrics").glob("*.tsv"):
            head, *lines = file.read_text().splitlines()
            column = head.split("\t").index(file.stem)
            series[file.stem] = [float(line.split("\t")[column]) for line in lines]
        (artefact,) = (place / "artifacts").iterdir()
        return {key: str(value) for key, value in parameters.items()}, series, artefact.read_bytes()


class Registry:
    """GTO: a version, and a stage, is a git tag."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.count = 0

    def put(self, name: str, file: Path) -> str:
        self.repository.keep(file.read_bytes())
        self.count += 1
        version = f"v0.0.{self.count}"
        self.repository.gto("register", name, "--version", version)
        return version

    def get(self, name: str, version: str) -> bytes:
        return self.repository.fetch(f"{name}@{version}")

    def assign(self, name: str, stage: str, version: str) -> None:
        # Assignments are ordered by the time of their tags, which git keeps to the second.
        time.sleep(1.1)
        self.repository.gto("assign", name, "--version", version, "--stage", stage)

    def assigned(self, name: str, stage: str) -> bytes:
        shown = json.loads(self.repository.gto("show", f"{name}#{stage}", "--json"))
        version = shown[0]["version"] if isinstance(shown, list) else shown["version"]
        return self.get(name, version)


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    os.environ |= {"DVC_NO_ANALYTICS": "1"}
    repository = Repository(Path(job.scratch, "data"))
    yield {
        "track": Tracker(repository),
        "version": repository,
        "register": Registry(Repository(Path(job.scratch, "models"))),
    }
