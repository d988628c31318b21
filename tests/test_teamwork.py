"""What a team asks of a registry and an orchestrator: passed by one that keeps it, failed by one that only seems to."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import probes, teamwork, vault
from benchmarks.contract import Probing, Unsupported
from benchmarks.repository import Repository


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probing:
    monkeypatch.setattr(teamwork, "SETTLE_S", 0.0)
    return Probing(scratch=str(tmp_path), seed=1, host="127.0.0.1", ports=(1, 2))


def state(name: str, subject: Any, job: Probing) -> str:
    (found,) = probes.ask(name, subject, job)
    return found.state


class Code:
    """Notes the commit of a repository, and whether its tree was changed where `looks`."""

    def __init__(self, looks: bool) -> None:
        self.looks, self.kept = looks, list[tuple[str, bool]]()

    def make(self, folder: Path) -> str:
        repository = Repository(folder)
        changed = self.looks and bool(repository.git("status", "--porcelain"))
        self.kept.append((repository.git("rev-parse", "HEAD"), changed))
        return str(len(self.kept) - 1)

    def code(self, version: str) -> tuple[str, bool]:
        return self.kept[int(version)]


@pytest.mark.parametrize(("looks", "expected"), [(True, "passed"), (False, "failed")])
def test_a_version_knows_its_commit_and_a_changed_tree(job: Probing, looks: bool, expected: str) -> None:
    assert state("code", Code(looks), job) == expected


class Board:
    def __init__(self, signed: bool = True, shown: bool = True) -> None:
        self.signed, self.shown, self.note = signed, shown, ("", "")

    def change(self, user: str, text: str) -> None:
        self.note = (text if self.shown else "", user if self.signed else "")

    def seen(self) -> tuple[str, str]:
        return self.note


def test_a_change_is_seen_by_another_user_with_its_author(job: Probing) -> None:
    assert state("shared", lambda: contextlib.nullcontext(Board()), job) == "passed"
    assert state("shared", lambda: contextlib.nullcontext(Board(shown=False)), job) == "failed"
    (unsigned,) = probes.ask("shared", lambda: contextlib.nullcontext(Board(signed=False)), job)

    assert (unsigned.state, unsigned.said.split(", ")[-1]) == ("failed", "without its author")


class Bell:
    """Rings `times` a promotion, and `early` where a version is registered."""

    def __init__(self, times: int = 1, early: bool = False) -> None:
        self.times, self.early, self.rung, self.count = times, early, list[str](), 0

    def register(self) -> str:
        self.count += 1
        self.rung += [str(self.count)] * self.early
        return str(self.count)

    def promote(self, version: str) -> None:
        self.rung += [version] * self.times

    def heard(self) -> list[str]:
        return list(self.rung)


@pytest.mark.parametrize(
    ("bell", "expected"),
    [(Bell(), "passed"), (Bell(times=0), "failed"), (Bell(times=2), "failed"), (Bell(early=True), "failed")],
)
def test_an_event_comes_once_a_promotion(job: Probing, bell: Bell, expected: str) -> None:
    assert state("events", lambda: contextlib.nullcontext(bell), job) == expected


@pytest.mark.parametrize(("slope", "expected"), [(2.0, "passed"), (3.0, "failed"), (2.5, "failed")])
def test_the_version_that_a_stage_names_is_served(job: Probing, slope: float, expected: str) -> None:
    def deployed(rows: Sequence[Sequence[float]]) -> Any:
        answers = [[factor * row[0] for row in rows] for factor in (2.0, 3.0, slope)]
        return contextlib.nullcontext(teamwork.Deployed(answers[0], answers[1], lambda: answers[2]))

    assert state("deploy", deployed, job) == expected


class Versioned:
    """Runs `repeated` of the texts so far, by their place, where a run is asked for again."""

    def __init__(self, repeated: int) -> None:
        self.repeated, self.texts = repeated, list[str]()

    def run(self, text: str) -> tuple[str, str]:
        self.texts.append(text)
        return str(len(self.texts)), text

    def again(self, run: str) -> str:
        return self.texts[self.repeated]


@pytest.mark.parametrize(("repeated", "expected"), [(0, "passed"), (-1, "failed")])
def test_a_run_that_is_repeated_runs_the_code_of_then(job: Probing, repeated: int, expected: str) -> None:
    assert state("versions", lambda: contextlib.nullcontext(Versioned(repeated)), job) == expected


class Vault:
    """Leaves tokens as `kept` writes them; plain parameters as they are where `leaks`."""

    sources = ("mine.txt",)

    def __init__(self, folder: str, kept: Callable[[str], bytes] = lambda token: b"", leaks: bool = True) -> None:
        self.folder, self.kept, self.leaks = Path(folder), kept, leaks

    def secret(self, token: str) -> str:
        (self.folder / "mine.txt").write_text(token)
        (self.folder / "log.bin").write_bytes(self.kept(token))
        return hashlib.sha256(token.encode()).hexdigest()

    def plain(self, token: str) -> str:
        (self.folder / "parameters.txt").write_text(token if self.leaks else "")
        return hashlib.sha256(token.encode()).hexdigest()


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (lambda token: b"", "passed"),
        (lambda token: hashlib.sha256(token.encode()).digest(), "passed"),
        (lambda token: f"token={token}".encode(), "failed"),
        (lambda token: gzip.compress(token.encode()), "failed"),
        (lambda token: base64.b64encode(f'{{"a": "{token}"}}'.encode()), "failed"),
        (lambda token: base64.b64encode(f"a{token}".encode()), "failed"),
        (lambda token: gzip.compress(token.encode())[:20], "passed"),  # broken off: nothing can be read from it
    ],
)
def test_a_secret_is_found_wherever_it_shows(job: Probing, kept: Callable[[str], bytes], expected: str) -> None:
    assert state("secret", Vault(job.scratch, kept), job) == expected


def test_a_vault_whose_parameters_show_nowhere_either_proves_nothing(job: Probing) -> None:
    assert state("secret", Vault(job.scratch, leaks=False), job) == "failed"


def test_a_token_is_found_at_every_alignment_of_base64(tmp_path: Path) -> None:
    token = "0123456789abcdef" * 3
    for shift in range(4):
        (tmp_path / "file").write_bytes(base64.b64encode(b"x" * shift + token.encode() + b"y" * shift))
        assert vault.holding([tmp_path / "file"], token), shift


def test_what_a_tool_refuses_when_it_is_asked_is_none(job: Probing) -> None:
    def refuses(rows: Any, labels: Any) -> Any:
        raise Unsupported("not in a synchronous context")

    (found,) = probes.ask("early", refuses, job)

    assert (found.state, found.said) == ("none", "not in a synchronous context")


def test_a_search_that_trains_all_points_alike_ends_none_early(job: Probing) -> None:
    assert state("early", lambda rows, labels: (0.9, 9, [1, 3, 9]), job) == "passed"
    assert state("early", lambda rows, labels: (0.9, 9, [9, 9, 9]), job) == "failed"
    assert state("early", lambda rows, labels: (0.9, 1, [1, 3, 9]), job) == "failed"
    assert state("early", lambda rows, labels: (0.2, 9, [1, 3, 9]), job) == "failed"
