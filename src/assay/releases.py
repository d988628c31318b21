"""When a version was released: the day of its upload, asked of the package index through uv and kept in a file."""

from __future__ import annotations

import datetime
import os
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from assay import environment
from assay.errors import UsageError

NAME = "releases.toml"
FIRST = datetime.date(2005, 1, 1)  # no package is older
TIMEOUT_S = 60.0
HEAD = "# Days of upload, by the package index, of what stored runs had installed; `assay releases` adds more.\n\n"


def load(folder: Path) -> dict[str, datetime.date]:
    """Day by `name==version`; empty where there is no file. Raises UsageError."""
    path = folder / NAME
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as fault:
        raise UsageError(f"{path}: {fault}") from fault
    wrong = [name for name, day in found.items() if type(day) is not datetime.date]
    if wrong:
        raise UsageError(f"{path}: {wrong[0]} is no date; delete the line, then: assay releases")
    return found


def renew(folder: Path, versions: Iterable[str], today: datetime.date, say: Callable[[str], None]) -> None:
    """Ask for every `name==version` that the file lacks; written after each, so that a killed one goes on."""
    known = load(folder)
    for version in sorted(set(versions) - known.keys()):
        day = uploaded(version, today)
        say(f"{version}: {day or 'the index does not tell'}")
        if day:
            known[version] = day
            write(folder / NAME, known)


def write(path: Path, known: Mapping[str, datetime.date]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(HEAD + "".join(f'"{name}" = {day.isoformat()}\n' for name, day in sorted(known.items())))
    partial.rename(path)


def uploaded(version: str, today: datetime.date) -> datetime.date | None:
    """The first day by whose end uv finds the version; None where it never does, or always: then no day is told."""
    if not found(version, today) or found(version, FIRST):
        return None
    first, last = FIRST, today
    while first < last:
        middle = first + (last - first) // 2
        if found(version, middle):
            last = middle
        else:
            first = middle + datetime.timedelta(days=1)
    return first


def found(version: str, day: datetime.date) -> bool:
    """Whether the version was there by the end of a day: a resolution of it alone, without what it needs."""
    end = f"{day + datetime.timedelta(days=1)}T00:00:00Z"
    command = [environment.uv(), "pip", "compile", "--quiet", "--no-deps", "--exclude-newer", end, "-"]
    try:
        done = subprocess.run(
            command,
            input=version,
            env=environment.uv_environment(os.environ),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise UsageError(f"uv does not answer: {fault}") from fault
    return done.returncode == 0
