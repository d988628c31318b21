"""A git repository for code."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        """What git answers there, as someone."""
        command = ["git", "-c", "user.name=someone", "-c", "user.email=someone@example.org", *arguments]
        return subprocess.run(command, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def commit(self) -> str:
        """Everything in the folder as it is; returns the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "a state")
        return self.git("rev-parse", "HEAD")
