"""The checkout that a run works in: one run at a time, and the commit that it measured."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from assay.errors import UsageError


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Two runs at once would measure each other. Raises UsageError where one is going on."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another run is going on here ({state / 'lock'} is held); wait for it") from None
        yield


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Commit, and whether files that take part differ from it."""
    git = shutil.which("git")
    if not git:
        return None, None
    commit = subprocess.run([git, "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
    if commit.returncode:
        return None, None
    parts = ["src", "benchmarks", "scenarios", "pyproject.toml"]
    status = subprocess.run([git, "status", "--porcelain", "--", *parts], cwd=root, capture_output=True, text=True)
    return commit.stdout.strip(), bool(status.stdout.strip())
