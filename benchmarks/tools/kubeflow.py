# /// script
# requires-python = ">=3.11"
# dependencies = ["kfp==2.17.3", "kfp-kubernetes==2.17.3"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Kubeflow Pipelines"
# homepage = "https://www.kubeflow.org/docs/components/pipelines"
# devices = ["cpu"]
# ///
"""Kubeflow Pipelines: components run locally by the SDK's SubprocessRunner; the cluster's backend is not measured."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp import dsl, local

from benchmarks.contract import Declined, Probing
from benchmarks.symbols import there


# Without a network in a trial, a component cannot install the SDK first.
@dsl.component(install_kfp_package=False)
def give(path: str, content: dsl.Output[dsl.Artifact]) -> int:
    import os
    import pathlib

    pathlib.Path(content.path).write_bytes(pathlib.Path(path).read_bytes())
    return os.getpid()


@dsl.component(install_kfp_package=False)
def take(content: dsl.Input[dsl.Artifact], first: int) -> list:  # type: ignore[type-arg]  # KFP knows the bare type
    import hashlib
    import os
    import pathlib

    return [hashlib.sha256(pathlib.Path(content.path).read_bytes()).hexdigest(), first, os.getpid()]


@dsl.pipeline
def pipeline(path: str) -> list:  # type: ignore[type-arg]
    given = give(path=path)
    return take(content=given.outputs["content"], first=given.outputs["Output"]).output


@dsl.component(install_kfp_package=False)
def fails_once(path: str) -> None:
    import pathlib

    attempts = pathlib.Path(path)
    with attempts.open("a") as file:
        file.write("attempt\n")
    if len(attempts.read_text().splitlines()) == 1:
        raise RuntimeError("the first attempt fails")


@dsl.pipeline
def retried(path: str) -> None:
    fails_once(path=path).set_retry(num_retries=1, backoff_duration="0s")


class Local:
    def __init__(self, scratch: str) -> None:
        self.content = Path(scratch, "content.bin")
        local.init(
            runner=local.SubprocessRunner(use_venv=False), pipeline_root=f"{scratch}/outputs", raise_on_error=True
        )

    def flow(self, content: bytes) -> tuple[str, int, int]:
        self.content.write_bytes(content)
        digest, first, second = pipeline(path=str(self.content)).output
        return str(digest), int(first), int(second)

    def retry(self, attempts: Path) -> None:
        retried(path=str(attempts))


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert shutil.which("python3")
    said = "a component's environment is given the SDK from an index, which a trial does not reach"
    yield {
        "orchestrate": Local(job.scratch),
        "isolate": Declined(said),
        "versions": Declined(
            "the cluster's API server keeps the versions of a pipeline; a local run has its source alone"
        ),
        "secret": Declined(
            "secrets are Kubernetes', which kfp-kubernetes gives to a task's pod; a local run has no pod"
        ),
        "operations": {
            "kubernetes": ("use_secret_as_env of kfp-kubernetes", there("kfp.kubernetes", "use_secret_as_env"))
        },
        "resources": ("a task", [name.removeprefix("set_") for name in dir(dsl.PipelineTask)]),
    }
