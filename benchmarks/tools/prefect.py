# /// script
# requires-python = ">=3.11"
# dependencies = ["prefect==3.9.1", "certifi==2026.10.19.post1"]
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
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contract import Probing


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


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    # Before Prefect is imported, which reads them once.
    os.environ |= {"PREFECT_HOME": f"{job.scratch}/prefect", "DO_NOT_TRACK": "1", "PREFECT_LOGGING_LEVEL": "WARNING"}
    yield {"orchestrate": Local()}
