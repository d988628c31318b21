# /// script
# requires-python = ">=3.11"
# dependencies = ["kedro==1.7.0"]
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
from collections.abc import Iterator, Mapping
from typing import Any

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner

from benchmarks.contract import Declined, Probing


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


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    yield {
        "orchestrate": Local(),
        "isolate": Declined("nodes of a run share its interpreter"),
        "resources": ("kedro.pipeline.node", inspect.signature(node).parameters),
    }
