"""What a team asks of a registry: the code of a version, who changed it, an event a promotion, and a server for it."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from benchmarks.contract import Probing
from benchmarks.finding import Finding, close
from benchmarks.repository import Repository

USERS = "ada", "grace"
SETTLE_S = 1.5  # for an event to arrive, and for tags that are told apart by the second


class Source(Protocol):
    """Versions that know the code they were made by."""

    def make(self, folder: Path) -> str:
        """Register a version from code in a git repository, as it is now; returns the version."""
        ...

    def code(self, version: str) -> tuple[str, bool]:
        """The commit that a version was made from, and whether something else than that commit was there."""
        ...


class Desk(Protocol):
    """A version that users share."""

    def change(self, user: str, text: str) -> None:
        """Change what is said of the version, as one of USERS."""
        ...

    def seen(self) -> tuple[str, str]:
        """What another user reads there, and whose change it was; empty where that is not kept."""
        ...


class Events(Protocol):
    """What a pipeline hears of a registry."""

    def register(self) -> str:
        """Register a new version; returns it."""
        ...

    def promote(self, version: str) -> None: ...

    def heard(self) -> list[str]:
        """The versions of the events that have come so far."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Deployed:
    """A registered model that a server has fetched by its stage."""

    answers: Sequence[float]  # of the model, before it was registered
    others: Sequence[float]  # of the model's other version
    call: Callable[[], Sequence[float]]  # what the server answers for the same rows


def code(one: Source, job: Probing) -> Iterator[Finding]:
    """A version from a clean tree, one from a changed one, and one from the next commit."""
    draw, repository = random.Random(job.seed + 7), Repository(Path(job.scratch, "code"))
    expected, found = [], []
    for changed in (False, True, False):
        (repository.folder / "train.py").write_text(f"rate = {draw.random()}\n")
        if not changed:
            repository.commit()
        version = one.make(repository.folder)
        expected.append((repository.git("rev-parse", "HEAD"), changed))
        found.append(one.code(version))
    right = found == expected
    said = "three versions name their commits, and that of a changed tree says so"
    yield Finding("code", "passed" if right else "failed", said if right else f"{found} and not {expected}")


def shared(one: Callable[[], AbstractContextManager[Desk]], job: Probing) -> Iterator[Finding]:
    """Two users change a version in turn; a third reads both changes, and whose they were."""
    texts = [f"note-{job.seed}-{number}" for number in range(len(USERS))]
    with one() as desk:
        before, read = desk.seen()[0], []
        for user, text in zip(USERS, texts, strict=True):
            desk.change(user, text)
            read.append(desk.seen())
    seen = [text for text, _ in read] == texts and before not in texts
    named = [author for _, author in read] == list(USERS)
    said = f"each user's change of a version was {'read' if seen else 'not read'} by another user"
    yield Finding(
        "shared", "passed" if seen and named else "failed", f"{said}, {'with' if named else 'without'} its author"
    )


def events(one: Callable[[], AbstractContextManager[Events]], job: Probing) -> Iterator[Finding]:
    """One event a promotion, and none for a version that was only registered."""
    with one() as registry:
        versions = [registry.register(), registry.register()]
        time.sleep(SETTLE_S)
        heard = [registry.heard()]
        for version in versions:
            registry.promote(version)
            time.sleep(SETTLE_S)
            heard.append(registry.heard())
    right = heard == [[], versions[:1], versions]
    said = f"{', '.join(str(len(one)) for one in heard)} events after none, one and two promotions of two versions"
    yield Finding("events", "passed" if right else "failed", said)


def deployed(
    one: Callable[[Sequence[Sequence[float]]], AbstractContextManager[Deployed]], job: Probing
) -> Iterator[Finding]:
    """A server answers as the model did before it was registered, and not as its other version."""
    draw = random.Random(job.seed + 8)
    with one([[draw.random()] for _ in range(5)]) as server:
        answers = list(server.call())
        right = close(answers, server.answers) and not close(answers, server.others)
    said = "a server of the version that a stage names answered as the model did before, and not as the other version"
    yield Finding("deploy", "passed" if right else "failed", said if right else f"{answers} and not {server.answers}")
