"""A program that a tool's file starts, and that ends with the trial."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence

STOP_S = 20.0  # it has for its own way of stopping; what is left then is ended and counted as a survivor


@contextlib.contextmanager
def running(
    command: Sequence[str],
    folder: str,
    variables: Mapping[str, str],
    stop: signal.Signals = signal.SIGTERM,
    whole_group: bool = True,
) -> Iterator[subprocess.Popen[bytes]]:
    """The program as a process group of its own, in `folder`; `stop` it on leaving.

    The signal goes to the whole group, or to the root alone for tools that stop their children themselves.
    """
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **variables}, process_group=0)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if whole_group else os.kill)(process.pid, stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
