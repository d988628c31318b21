"""What a run has done so far, safe against the engine's death at any moment.

A run's folder holds `run.json` (written once), `environments.json`, `trials/` and `journal.jsonl`. A trial's
file is written first and renamed into place; only then does one line in the journal say that the trial is
finished. A trial without its line never happened and is run again.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from assay.errors import StoreError, UsageError


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One line: a finished trial, or a reference that trials are checked against."""

    name: str  # file in trials/ without its ending
    case: str
    outcome: str
    wall_s: float
    throughput: float | None = None  # samples a second, for progress alone


@dataclasses.dataclass(frozen=True, slots=True)
class Journal:
    """The folder of one run."""

    folder: Path

    @property
    def run(self) -> str:
        return self.folder.name

    @classmethod
    def create(cls, runs: Path, header: dict[str, Any]) -> Journal:
        """A new folder with `run.json`; `header["run"]` is its name."""
        journal = cls(runs / str(header["run"]))
        (journal.folder / "trials").mkdir(parents=True)
        (journal.folder / "logs").mkdir()
        write_whole(journal.folder / "run.json", json.dumps(header).encode())
        return journal

    @classmethod
    def find(cls, runs: Path, name: str | None, sealed: Collection[str] = ()) -> Journal:
        """The named run, or the newest, that is not sealed. Raises UsageError where there is none."""
        if name in sealed:
            raise UsageError(f"{name} is complete and sealed; start a new run")
        known = sorted(path.parent.name for path in runs.glob("*/run.json") if path.parent.name not in sealed)
        if not known or (name and name not in known):
            raise UsageError(f"no run {name or 'to resume'} in {runs}; there are {', '.join(known) or 'none'}")
        return cls(runs / (name or known[-1]))

    def header(self) -> dict[str, Any]:
        return dict(read_json(self.folder / "run.json"))

    def path(self, name: str) -> Path:
        """Where a trial's file belongs."""
        return self.folder / "trials" / f"{name}.parquet"

    def append(self, entry: Entry) -> None:
        """Declare a trial finished. Durable when this returns."""
        line = json.dumps(dataclasses.asdict(entry), separators=(",", ":")).encode() + b"\n"
        with (self.folder / "journal.jsonl").open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def entries(self) -> Iterator[Entry]:
        """Finished trials in order. A last line that a dying engine cut short is passed over."""
        path = self.folder / "journal.jsonl"
        if not path.exists():
            return
        data = path.read_bytes()
        for number, line in enumerate(data.split(b"\n")[:-1], 1):
            try:
                yield Entry(**json.loads(line))
            except (ValueError, TypeError) as fault:
                raise StoreError(f"{path}:{number}: not a journal line ({fault}); start a new run") from fault

    def mend(self) -> None:
        """Cut off a half-written last line, so that the next append starts on a line of its own."""
        path = self.folder / "journal.jsonl"
        if path.exists() and not (data := path.read_bytes()).endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)

    def write(self, name: str, value: Any) -> None:
        """A JSON file of the run's folder, whole or not at all."""
        write_whole(self.folder / f"{name}.json", json.dumps(value).encode())

    def read(self, name: str) -> Any:
        return read_json(self.folder / f"{name}.json")

    def has(self, name: str) -> bool:
        return (self.folder / f"{name}.json").exists()


def write_whole(path: Path, data: bytes) -> None:
    """Under another name first, so that a reader never sees half of it."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise StoreError(f"{path}: cannot be read: {fault}") from fault
