# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Answers"
# homepage = "https://example.org"
# devices = ["cpu"]
# ///
"""Keeps states of data rightly, declines one subject, and breaks over another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.contract import Declined, Probing


class Kept(list[bytes]):
    def keep(self, content: bytes) -> str:
        self.append(content)
        return str(len(self) - 1)

    def fetch(self, state: str) -> bytes:
        return self[int(state)]


class Broken:
    def flow(self, content: bytes) -> tuple[str, int, int]:
        raise RuntimeError("\x1b[91mno executor\x1b[0m")


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    yield {"version": Kept(), "lineage": Declined("nothing is written down"), "orchestrate": Broken()}
