"""Versions of a pipeline: whether a run's code is kept with it, and runs again once the code is another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from benchmarks.contract import Probing
from benchmarks.finding import Finding


class Versioned(Protocol):
    """A pipeline whose second task hands out what its first one was given by its code."""

    def run(self, text: str) -> tuple[str, str]:
        """Write the code anew, so that the first task gives `text`, and run it; the run's id, and what came out."""
        ...

    def again(self, run: str) -> str:
        """Run once more what that run was, by its id alone; what came out."""
        ...


def check(one: Callable[[], AbstractContextManager[Versioned]], job: Probing) -> Iterator[Finding]:
    """Two versions of the code, each run, and then the first once more; its source is nowhere restored by hand."""
    texts = [f"text {job.seed} of version {number}" for number in (1, 2)]
    with one() as pipeline:
        runs = [pipeline.run(text) for text in texts]
        found = pipeline.again(runs[0][0])
    if [text for _, text in runs] != texts:
        yield Finding("versions", "failed", f"the two versions gave {' and '.join(text for _, text in runs)}")
    elif found == texts[0]:
        yield Finding(
            "versions", "passed", "the first run, repeated by its id, ran the code of then and not that of now"
        )
    else:
        kind = "that of now" if found == texts[1] else f"neither version's: {found}"
        yield Finding("versions", "failed", f"the first run, repeated by its id, ran {kind}")
