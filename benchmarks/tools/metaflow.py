# /// script
# requires-python = ">=3.11"
# dependencies = ["metaflow==2.19.39"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Metaflow"
# homepage = "https://metaflow.org"
# devices = ["cpu"]
# ///
"""Metaflow: flows as its command line runs them, a process a step, artefacts in a local store."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contract import Declined, Probing
from benchmarks.symbols import there

KUBERNETES = "metaflow.plugins.kubernetes.kubernetes_decorator", "KubernetesDecorator"
FLOW = """\
import hashlib, json, os, pathlib
from metaflow import FlowSpec, step


class PassFlow(FlowSpec):
    @step
    def start(self):
        self.content, self.first = pathlib.Path("content.bin").read_bytes(), os.getpid()
        self.next(self.end)

    @step
    def end(self):
        found = hashlib.sha256(self.content).hexdigest(), self.first, os.getpid()
        pathlib.Path("found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    PassFlow()
"""
RETRY = """\
import os, pathlib
from metaflow import FlowSpec, retry, step


class RetryFlow(FlowSpec):
    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        attempts = pathlib.Path(os.environ["ASSAY_ATTEMPTS"])
        with attempts.open("a") as file:
            file.write("attempt\\n")
        if len(attempts.read_text().splitlines()) == 1:
            raise RuntimeError("the first attempt fails")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    RetryFlow()
"""

VERSIONED = """\
import os, pathlib
from metaflow import FlowSpec, step


class VersionedFlow(FlowSpec):
    @step
    def start(self):
        self.given = "{text}"
        self.next(self.end)

    @step
    def end(self):
        pathlib.Path(os.environ["ASSAY_FOUND"]).write_text(self.given)


if __name__ == "__main__":
    VersionedFlow()
"""


class Versioned:
    """Runs that keep their code with them: by itself Metaflow packages code for steps that run elsewhere alone."""

    def __init__(self, scratch: str) -> None:
        self.folder, self.pulled = Path(scratch, "versioned"), Path(scratch, "pulled")
        self.folder.mkdir()
        named = {"USERNAME": "assay", "METAFLOW_USER": "assay", "METAFLOW_FEAT_ALWAYS_UPLOAD_CODE_PACKAGE": "1"}
        self.found, self.id = Path(scratch, "versioned.txt"), Path(scratch, "versioned.id")
        self.variables = {**os.environ, **named, "ASSAY_FOUND": str(self.found)}

    def run(self, text: str) -> tuple[str, str]:
        (self.folder / "versioned.py").write_text(VERSIONED.replace("{text}", text))
        taken = self.taken(self.folder)
        return self.id.read_text(), taken

    def again(self, run: str) -> str:
        program = str(Path(sys.executable).with_name("metaflow"))
        command = [program, "code", "pull", f"VersionedFlow/{run}", "--dir", str(self.pulled)]
        subprocess.run(command, cwd=self.folder, env=self.variables, check=True)
        return self.taken(self.pulled)

    def taken(self, folder: Path) -> str:
        self.found.unlink(missing_ok=True)
        command = [sys.executable, "versioned.py", "--no-pylint", "run", "--run-id-file", str(self.id)]
        subprocess.run(command, cwd=folder, env=self.variables, check=True)
        return self.found.read_text()


class Local:
    def __init__(self, scratch: str) -> None:
        self.folder = Path(scratch)

    def run(self, name: str, text: str, **variables: str) -> None:
        (self.folder / name).write_text(text)
        environment = {**os.environ, "USERNAME": "assay", "METAFLOW_USER": "assay", **variables}
        subprocess.run([sys.executable, name, "--no-pylint", "run"], cwd=self.folder, env=environment, check=True)

    def flow(self, content: bytes) -> tuple[str, int, int]:
        (self.folder / "content.bin").write_bytes(content)
        self.run("pass_flow.py", FLOW)
        digest, first, second = json.loads((self.folder / "found.json").read_text())
        return digest, first, second

    def retry(self, attempts: Path) -> None:
        self.run("retry_flow.py", RETRY, ASSAY_ATTEMPTS=str(attempts))


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    from metaflow.plugins.resources_decorator import ResourcesDecorator

    yield {
        "orchestrate": Local(job.scratch),
        "versions": lambda: contextlib.nullcontext(Versioned(job.scratch)),
        "secret": Declined("@secrets reads the stores of AWS, Google or Azure; its inline provider is for tests alone"),
        "isolate": Declined("@pypi and @conda make an environment a step, from indexes that a trial does not reach"),
        "operations": {"kubernetes": ("@kubernetes of metaflow", there(*KUBERNETES))},
        "resources": ("@resources", ResourcesDecorator.defaults),
    }
