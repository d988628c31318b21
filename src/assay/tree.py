"""The process tree of a trial: found, counted, ended and reaped, whatever it forked and however it re-parented.

On Linux the engine is a child subreaper, so an orphan comes home to it instead of to init. While a trial
runs, everything below the engine that was not there before is the trial's; parent ids alone would lose
daemons. Elsewhere the tree is what can be reached from the worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Collection, Iterable

import psutil

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
POLL_S = 0.02  # while waiting for an end; nothing is measured then
MARK = "ASSAY_RUN"  # in the environment of everything that a run starts


def supports_subreaper() -> bool:
    return sys.platform == "linux"


def become_subreaper() -> bool:
    """Make orphans below this process its own children. False where the system cannot."""
    if not supports_subreaper():
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


class Tree:
    """Everything that a trial's worker started. Make it right before the worker is spawned."""

    def __init__(self) -> None:
        self.engine = psutil.Process()
        self.before = {process.pid for process in self.engine.children(recursive=True)}  # not the trial's
        self.apart: set[int] = set()  # sessions of ours that work beside the trial
        self.root: int | None = None
        self.exit_status: int | None = None  # of the root, as os.waitstatus_to_exitcode gives it
        self.cpu_s = 0.0  # user and system seconds of every reaped process and of what it had reaped

    def processes(self) -> list[psutil.Process]:
        """What is alive of the tree; zombies are reaped on the way where they are ours."""
        found = []
        for process in self.engine.children(recursive=True):
            if process.pid in self.before or (self.apart and session(process.pid) in self.apart):
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.status() == psutil.STATUS_ZOMBIE:
                    # A process whose first thread has ended looks like a zombie while its others go on, as a JVM's do.
                    if process.ppid() == self.engine.pid and not self.reap(process.pid):
                        found.append(process)
                else:
                    found.append(process)
        return found

    def reap(self, pid: int) -> bool:
        """Collect an ended child, with what it used. False where it has not ended yet."""
        with contextlib.suppress(ChildProcessError):
            reaped, status, usage = os.wait4(pid, os.WNOHANG)
            if not reaped:
                return False
            self.cpu_s += usage.ru_utime + usage.ru_stime
            if reaped == self.root:
                self.exit_status = os.waitstatus_to_exitcode(status)
        return True

    def cpu_so_far(self) -> float:
        """User and system seconds of the tree until now, at the kernel's resolution of some 10 ms."""
        total = self.cpu_s
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def wait(self, seconds: float) -> list[psutil.Process]:
        """Wait until nothing is left, at most `seconds`; returns what is left."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return left

    def end(self, grace_s: float) -> None:
        """TERM to the whole tree, KILL to what is left after `grace_s`, until nothing is."""
        signal_all(self.processes(), signal.SIGTERM)
        left = self.wait(grace_s)
        while left:
            # Again and again: a process may fork between being listed and being killed.
            signal_all(left, signal.SIGKILL)
            left = self.wait(grace_s)


def session(pid: int) -> int:
    """A process's session; 0 where it has gone."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def names(processes: Iterable[psutil.Process]) -> list[str]:
    """Names of the processes that still exist."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(process.name())
    return found


def end_leftovers(runs: Collection[str], grace_s: float) -> int:
    """End what killed engines left of these runs, found by the mark in its environment; returns how many."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) in runs:
                left.append(process)
    signal_all(left, signal.SIGTERM)
    _, alive = psutil.wait_procs(left, timeout=grace_s)
    signal_all(alive, signal.SIGKILL)
    return len(left)
