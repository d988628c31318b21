# /// script
# requires-python = ">=3.11"
# dependencies = ["flytekit==1.16.31"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Flyte"
# homepage = "https://flyte.org"
# devices = ["cpu"]
# ///
"""Flyte: tasks and a workflow, run locally by flytekit; the cluster's executor is not measured."""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import flytekit
from flytekit import task, workflow

from benchmarks.contract import Declined, Probing

CONTENT, ATTEMPTS = "ASSAY_CONTENT", "ASSAY_ATTEMPTS"


@task
def give() -> tuple[str, int]:
    return Path(os.environ[CONTENT]).read_bytes().hex(), os.getpid()


@task
def take(content: str, first: int) -> tuple[str, int, int]:
    return hashlib.sha256(bytes.fromhex(content)).hexdigest(), first, os.getpid()


@workflow
def pipeline() -> tuple[str, int, int]:
    content, first = give()
    return take(content=content, first=first)


@task(retries=1)
def fails_once() -> None:
    attempts = Path(os.environ[ATTEMPTS])
    with attempts.open("a") as file:
        file.write("attempt\n")
    if len(attempts.read_text().splitlines()) == 1:
        raise RuntimeError("the first attempt fails")


@workflow
def retried() -> None:
    fails_once()


class Local:
    def __init__(self, scratch: str) -> None:
        self.content = Path(scratch, "content.bin")

    def flow(self, content: bytes) -> tuple[str, int, int]:
        self.content.write_bytes(content)
        os.environ[CONTENT] = str(self.content)
        digest, first, second = pipeline()
        return digest, first, second

    def retry(self, attempts: Path) -> None:
        os.environ[ATTEMPTS] = str(attempts)
        retried()


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    said = "an ImageSpec gives a task its image, on the cluster; run locally, tasks share an interpreter"
    yield {
        "orchestrate": Local(job.scratch),
        "isolate": Declined(said),
        "versions": Declined("a version is registered with the cluster's Flyte Admin; a local run reads the source"),
        "secret": Declined("the store is the cluster's; a local run reads a variable or a file that its user sets"),
        "operations": {"kubernetes": ("PodTemplate of flytekit", hasattr(flytekit, "PodTemplate"))},
        "resources": ("Resources", [field.name for field in dataclasses.fields(flytekit.Resources)]),
    }
