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

from __future__ import annotations

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

from benchmarks import teamwork
from benchmarks.contract import Declined, Probing

TAGS_S = 1.1  # GTO orders assignments by the time of their tags, which git keeps to the second


class Repository:
    """A git repository with DVC in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, folder: Path) -> Repository:
        """One with a remote storage beside it."""
        folder.mkdir()
        made = cls(folder)
        made.git("init", "-q", "-b", "main")
        made.begin("someone")
        made.dvc("init", "-q")
        made.dvc("config", "-q", "core.check_update", "false")
        made.dvc("remote", "add", "-q", "-d", "store", str(folder.with_name("store")))
        made.commit("begin")
        return made

    def begin(self, name: str) -> None:
        self.git("config", "user.name", name)
        self.git("config", "user.email", f"{name}@example.org")

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
    """DVCLive in a repository: every run is saved as a DVC experiment, which is a git reference of its own."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        os.chdir(repository.folder)  # DVCLive and `dvc.api` find the repository by it

    def log(self, name: str, parameters: Mapping[str, str], series: Mapping[str, list[float]], artefact: Path) -> str:
        self.repository.git("clean", "-fdq")  # DVCLive clears an earlier run's numbers, and not its artefacts
        with Live(exp_name=name.replace(" ", "-")) as live:
            live.log_params(dict(parameters))
            for step in range(len(next(iter(series.values())))):
                for metric, values in series.items():
                    live.log_metric(metric, values[step])
                live.next_step()
            live.log_artifact(str(artefact), copy=True, cache=False)
        return name.replace(" ", "-")

    def read(self, run: str) -> tuple[Mapping[str, str], Mapping[str, list[float]], bytes]:
        import yaml

        files = dvc.api.DVCFileSystem(str(self.repository.folder), rev=run)  # an experiment's name is a revision
        parameters = yaml.safe_load(files.read_text("dvclive/params.yaml"))
        series = {}
        for file in files.find("dvclive/plots/metrics"):
            head, *lines = files.read_text(file).splitlines()
            column = head.split("\t").index(Path(file).stem)
            series[Path(file).stem] = [float(line.split("\t")[column]) for line in lines]
        (artefact,) = files.find("dvclive/artifacts")
        return {key: str(value) for key, value in parameters.items()}, series, files.read_bytes(artefact)

    def search(self, metric: str, above: float, parameter: str, value: str) -> set[str]:
        """DVC gives a table of experiments and leaves the filter to whoever asks, as its guide shows with pandas."""
        return {
            row["Experiment"]
            for row in dvc.api.exp_show()
            if row.get("Experiment") and row[metric] > above and row[parameter] == value
        }

    def delete(self, run: str) -> None:
        self.repository.dvc("exp", "remove", "-q", run)


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
        time.sleep(TAGS_S)
        self.repository.gto("assign", name, "--version", version, "--stage", stage)

    def assigned(self, name: str, stage: str) -> bytes:
        shown = json.loads(self.repository.gto("show", f"{name}#{stage}", "--json"))
        version = shown[0]["version"] if isinstance(shown, list) else shown["version"]
        return self.get(name, version)


class Chain:
    """A stage of `dvc.yaml` reads data and writes a model; a version of GTO is a tag on the commit that keeps both."""

    def __init__(self, repository: Repository) -> None:
        self.repository, self.folder, self.count = repository, repository.folder, 0

    def register(self) -> str:
        self.repository.commit("a model")
        self.count += 1
        version = f"v0.0.{self.count}"
        self.repository.gto("register", "made", "--version", version)
        return version

    def made(self, file: Path, data: str) -> tuple[str, str]:
        (self.folder / data).write_text("0 1 2 3\n")
        (self.folder / "train.bin").write_bytes(file.read_bytes())
        self.repository.dvc("add", "-q", data)
        self.repository.dvc(
            *("stage", "add", "-q", "-n", f"train-{data}", "-d", data, "-d", "train.bin", "-o", "model.bin"),
            "cp train.bin model.bin",
        )
        self.repository.dvc("repro", "-q")
        return f"train-{data}", self.register()

    def alone(self, file: Path) -> str:
        self.repository.dvc("remove", "-q", *self.stages())
        (self.folder / "model.bin").write_bytes(file.read_bytes())
        self.repository.dvc("add", "-q", "model.bin")
        return self.register()

    def stages(self) -> list[str]:
        import yaml

        return list(yaml.safe_load((self.folder / "dvc.yaml").read_text())["stages"])

    def origin(self, version: str) -> tuple[str, str]:
        """By that version's `dvc.lock`: the stage that wrote the model's hash, and what DVC keeps of what that read."""
        import yaml

        files = dvc.api.DVCFileSystem(str(self.folder), rev=f"made@{version}")

        def kept(path: str) -> str:
            return str((files.info(path).get("dvc_info") or {}).get("md5", ""))

        lock = yaml.safe_load(files.read_text("dvc.lock")) if files.isfile("dvc.lock") else {}
        for name, stage in lock.get("stages", {}).items():
            if kept("model.bin") in [out["md5"] for out in stage["outs"]]:
                return name, "".join(given["path"] for given in stage["deps"] if kept(given["path"]) == given["md5"])
        return "", ""


class Source:
    """`dvc exp save` keeps the tree as it is in a commit over HEAD, and a version of GTO is a tag on that."""

    def __init__(self) -> None:
        self.count = 0

    def make(self, folder: Path) -> str:
        self.count += 1
        name, version = f"state-{self.count}", f"v0.0.{self.count}"
        self.repository = Repository(folder)
        if self.count == 1:
            self.repository.begin("someone")
            self.repository.dvc("init", "-q")
            self.repository.git("commit", "-q", "-m", "begin with DVC", "--", ".dvc", ".dvcignore")
        self.repository.dvc("exp", "save", "-q", "-f", "-n", name)
        saved = self.repository.git("for-each-ref", "--format=%(refname)", f"refs/exps/**/{name}")
        self.repository.gto("register", "coded", saved, "--version", version)
        return version

    def code(self, version: str) -> tuple[str, bool]:
        commit = self.repository.git("rev-parse", f"coded@{version}^{{commit}}^")
        # An experiment's commit has a file of DVC's own as well.
        changed = self.repository.git("diff", "--name-only", commit, f"coded@{version}", "--", ":!.dvc")
        return commit, bool(changed)


class Team:
    """A bare repository, and a clone of it for each person."""

    def __init__(self, folder: Path, *people: str) -> None:
        folder.mkdir()
        self.origin = folder / "shared.git"
        first = Repository.new(folder / "first")
        first.git("clone", "-q", "--bare", str(first.folder), str(self.origin))
        self.people = {name: Repository(folder / name) for name in people}
        for name, clone in self.people.items():
            first.git("clone", "-q", str(self.origin), str(clone.folder))
            clone.begin(name)


class Desk:
    """Stages that are assigned in one clone and pushed; a third one fetches the tags and asks GTO for their author."""

    def __init__(self, folder: Path) -> None:
        self.people = Team(folder, *teamwork.USERS, "reader").people
        self.people[teamwork.USERS[0]].gto("register", "net", "--version", "v0.0.1", "--push")

    def change(self, user: str, text: str) -> None:
        time.sleep(TAGS_S)
        self.people[user].git("fetch", "-q", "--tags")
        self.people[user].gto("assign", "net", "--version", "v0.0.1", "--stage", text, "--message", text, "--push")

    def seen(self) -> tuple[str, str]:
        self.people["reader"].git("fetch", "-q", "--tags")
        newest = json.loads(self.people["reader"].gto("history", "net", "--json"))[0]
        return newest.get("message") or "", newest.get("author") or ""


class Events:
    """The shared repository's hook asks GTO what a pushed tag means, as its action for GitHub does."""

    def __init__(self, folder: Path) -> None:
        team = Team(folder, "person")
        self.person, self.told, self.count = team.people["person"], folder / "told.txt", 0
        self.told.touch()
        hook, gto = team.origin / "hooks" / "post-receive", Path(sys.executable).with_name("gto")
        hook.write_text(
            "#!/bin/sh\nwhile read -r old new ref; do\n"
            f'  ref=${{ref#refs/tags/}}\n  [ "$(\'{gto}\' check-ref "$ref" --event)" = assignment ] || continue\n'
            f"  '{gto}' check-ref \"$ref\" --version >> '{self.told}'\ndone\n"
        )
        hook.chmod(0o755)

    def register(self) -> str:
        self.count += 1
        version = f"v0.0.{self.count}"
        self.person.git("commit", "-q", "--allow-empty", "-m", version)
        self.person.gto("register", "net", "--version", version)
        self.person.git("push", "-q", "origin", "main", f"net@{version}")
        return version

    def promote(self, version: str) -> None:
        time.sleep(TAGS_S)
        self.person.gto("assign", "net", "--version", version, "--stage", "production")
        tag = self.person.git("tag", "--list", "net#production#*", "--sort=-creatordate").split()[0]
        self.person.git("push", "-q", "origin", tag)  # GTO's own `--push` runs no hook of a repository in a folder

    def heard(self) -> list[str]:
        return self.told.read_text().split()


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    os.environ |= {"DVC_NO_ANALYTICS": "1"}
    folder = Path(job.scratch)
    repository = Repository.new(folder / "data")
    yield {
        "track": Tracker(Repository.new(folder / "runs")),
        "version": repository,
        "register": Registry(Repository.new(folder / "models")),
        "lineage": Chain(Repository.new(folder / "chain")),
        "code": Source(),
        "shared": lambda: contextlib.nullcontext(Desk(folder / "desk")),
        "events": lambda: contextlib.nullcontext(Events(folder / "team")),
        "deploy": Declined("it fetches a model by its stage (`dvc artifacts get`); the server is another tool's"),
    }
