"""One worker from spawn to the end of its last process: deadlines, limits, records, and an outcome whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from assay import machine, wire
from assay.sampler import Gpu, Peak, Sampler
from assay.tree import Tree, names

TICK_S = 0.25  # how late a deadline, a phase or a limit may be noticed
GRACE_S = 5.0  # between TERM and KILL
LINGER_S = 2.0  # daemons may need this long to follow their launcher; what lives longer is a survivor
IMPORT_S = 120.0  # until the tool is imported; a cold disk reads two gigabytes in that time
TEARDOWN_S = 60.0
# Out of the way of a tool that writes to descriptors it does not own.
WIRE_DESCRIPTOR = 200
LOG_BYTES = 64 * 1024  # kept of each end of the log
ERROR_LINES = 12

# What a tool's environment takes over from ours; everything else is unset, so that no shell's settings leak in.
PASSED_ON = re.compile(r"PATH|LANG|JAVA_HOME|LD_LIBRARY_PATH|(OPENBLAS|CUDA|NVIDIA|NCCL|GLOO)_\w+")
CLUSTERS = re.compile(r"(RAY|DASK|SPARK)_\w+")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

# A launcher's log says how a rank died when its exit code cannot: (pattern, outcome).
LOG_SIGNS = (
    (re.compile(r"exitcode\s*:\s*-\d+|Signal \d+ \(SIG(?:SEGV|BUS|ILL|ABRT|FPE|KILL)\)|SIGSEGV"), "crashed"),
    (re.compile(r"OutOfMemoryError|std::bad_alloc|CUDA out of memory|Cannot allocate memory"), "out_of_memory"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """How a worker is started."""

    python: Path
    request: dict[str, Any]
    scratch: Path  # exists and is empty
    environment: Mapping[str, str]
    companion: Callable[[wire.Endpoint, Tree], Companion] | None = None  # started once the worker serves


class Companion(Protocol):
    """A process of ours that works with a server while the worker waits. The server is stopped when it ends."""

    descriptor: int  # readable when it has something to say

    def receive(self) -> bool:
        """Take what it says; False at its end."""
        ...

    def tick(self) -> float:
        """Do what is due; returns the monotonic time of the next."""
        ...

    @property
    def phase(self) -> str: ...

    def end(self) -> None:
        """Make sure that it is gone."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    timeout_s: float  # of the whole trial
    launch_s: float
    memory: int  # bytes of the whole tree
    disk: int  # bytes of scratch folder and log


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """What the engine saw of a trial, beside the records."""

    outcome: str
    phase: str  # in which it ended
    error: str  # "" for ok
    log_tail: str
    exit_code: int | None  # negative: ended by that signal
    spawned_ns: int
    phases: dict[str, int]  # phase to its start, as far as the wire told
    gone_ns: int  # no process was left
    cpu_s: float
    rss: Peak
    pss: Peak
    series: dict[str, tuple[str, list[int], list[float]]]
    sampler_cpu_s: float
    survivors: list[str]  # names of processes that had to be ended


def environment(
    python: Path,
    scratch: Path,
    import_roots: list[Path],
    mark: str,
    threads: int,
    hash_seed: int = 0,
    padding: int = 0,
    attached: bool = False,
) -> dict[str, str]:
    """The minimal environment of a worker; one that attaches to a cluster keeps what says how to reach it."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if PASSED_ON.fullmatch(name) or (attached and CLUSTERS.fullmatch(name))
    }
    home = Path.home()
    return passed | {
        "PATH": os.pathsep.join([str(python.parent), passed.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(map(str, import_roots))),
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONUNBUFFERED": "1",
        # Credentials of clusters lie in the user's home; everything else writes its caches where they vanish.
        "HOME": str(home if attached else scratch),
        "PYTHONUSERBASE": os.environ.get("PYTHONUSERBASE", str(home / ".local")),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "ASSAY_PADDING": "x" * padding,
        "ASSAY_RUN": mark,
        **dict.fromkeys(THREADS, str(threads)),
    }


def run(
    launch: Launch, limits: Limits, on_record: Callable[[wire.Record], None], on_phase: Callable[[str], None]
) -> Ending:
    """Run a worker to its end. Every process that it started is gone when this returns, also by an exception."""
    return Watch(launch, limits, on_record, on_phase).run()


class Stop(Exception):
    """The trial must end now."""

    def __init__(self, outcome: str, error: str) -> None:
        super().__init__(error)
        self.outcome, self.error = outcome, error


class Watch:
    """The state of one running worker."""

    def __init__(
        self,
        launch: Launch,
        limits: Limits,
        on_record: Callable[[wire.Record], None],
        on_phase: Callable[[str], None],
    ) -> None:
        self.launch, self.limits = launch, limits
        self.on_record, self.on_phase = on_record, on_phase
        self.reader = wire.Reader()
        self.phase = "import"
        self.phases: dict[str, int] = {}
        self.final: wire.Record | None = None
        self.log = launch.scratch.with_suffix(".log")
        self.phase_file = launch.scratch / "phase"
        self.free_before = shutil.disk_usage(launch.scratch.parent).free
        self.oom_before = oom_kills()
        self.tree = Tree()
        self.companion: Companion | None = None
        self.sampler = Sampler(self.tree, Gpu.find())

    def run(self) -> Ending:
        self.spawned_ns = time.perf_counter_ns()
        self.started = time.monotonic()
        self.deadline = self.started + min(IMPORT_S, self.limits.timeout_s)
        try:
            read_end, process = self.spawn()
        except OSError as fault:
            return self.ending("environment", f"{self.launch.python} cannot be started: {fault}", "", [])
        outcome, error = "", ""
        try:
            self.watch(read_end, process)
        except Stop as stop:
            outcome, error = stop.outcome, stop.error
            self.tree.end(GRACE_S)
        except BaseException:
            self.tree.end(GRACE_S)
            raise
        finally:
            if self.companion:
                self.companion.end()
            os.close(read_end)
            with contextlib.suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
        left = self.tree.wait(LINGER_S)
        survivors = names(left)
        if left:
            self.tree.end(GRACE_S)
        process.returncode = self.tree.exit_status  # reaped by us, with its usage
        tail = self.settle_log()
        if not outcome:
            outcome, error = self.judge(tail)
        return self.ending(outcome, error, tail, survivors)

    def ending(self, outcome: str, error: str, tail: str, survivors: list[str]) -> Ending:
        return Ending(
            outcome=outcome,
            phase=self.phase,
            error=error,
            log_tail=tail,
            exit_code=self.tree.exit_status,
            spawned_ns=self.spawned_ns,
            phases=self.phases,
            gone_ns=time.perf_counter_ns(),
            cpu_s=self.tree.cpu_s,
            rss=self.sampler.rss,
            pss=self.sampler.pss,
            series=self.sampler.series,
            sampler_cpu_s=self.sampler.cost_s,
            survivors=survivors,
        )

    def spawn(self) -> tuple[int, subprocess.Popen[bytes]]:
        read_end, write_end = os.pipe()
        child_end = fcntl.fcntl(write_end, fcntl.F_DUPFD_CLOEXEC, WIRE_DESCRIPTOR)
        os.close(write_end)
        os.set_blocking(read_end, False)
        try:
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    [self.launch.python, "-m", "benchmarks.worker", str(child_end)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd=self.launch.scratch,
                    env=dict(self.launch.environment),
                    pass_fds=[child_end],
                    start_new_session=True,
                )
        except OSError:
            os.close(read_end)
            raise
        finally:
            os.close(child_end)
        self.tree.root = process.pid
        with contextlib.suppress(BrokenPipeError):
            assert process.stdin
            process.stdin.write(json.dumps(self.launch.request).encode() + b"\n")
            process.stdin.flush()
        return read_end, process

    def watch(self, read_end: int, process: subprocess.Popen[bytes]) -> None:
        """Until the worker has ended. Sleeps in the selector between events."""
        self.stdin = process.stdin
        watched: set[int] = set()
        due_s = math.inf
        with selectors.DefaultSelector() as selector:
            selector.register(read_end, selectors.EVENT_READ, self.receive)
            ended = pid_descriptor(process.pid)
            if ended is not None:
                selector.register(ended, selectors.EVENT_READ)
            try:
                while self.tree.exit_status is None:
                    until = min(self.deadline, self.sampler.due_s, due_s) - time.monotonic()
                    for event, _ in selector.select(max(0.0, min(TICK_S, until))):
                        if event.data and not event.data(event.fd):
                            selector.unregister(event.fd)
                    if self.companion and self.companion.descriptor not in watched:
                        watched.add(self.companion.descriptor)
                        selector.register(self.companion.descriptor, selectors.EVENT_READ, self.accompany)
                    due_s = self.companion.tick() if self.companion else math.inf
                    self.tree.reap(process.pid)
                    self.enforce()
                while self.receive(read_end):  # what was still in the pipe
                    pass
            finally:
                if ended is not None:
                    os.close(ended)

    def accompany(self, _: int) -> bool:
        """Hear the companion; when it has ended, ask the worker to stop its server."""
        assert self.companion
        if self.companion.receive():
            self.enter(self.companion.phase)
            return True
        self.enter("teardown")
        with contextlib.suppress(OSError):
            assert self.stdin
            self.stdin.write(b"stop\n")
            self.stdin.flush()
        return False

    def receive(self, read_end: int) -> bool:
        """Take what is there; False at the end or when there is nothing."""
        try:
            data = os.read(read_end, 1 << 20)
        except BlockingIOError:
            return False
        if not data:
            return False
        try:
            for record in self.reader.feed(data):
                if isinstance(record, wire.Phase):
                    self.phases[record.name] = record.at_ns
                    self.enter(record.name)
                elif isinstance(record, wire.Done | wire.Unsupported | wire.Failed):
                    self.final = record
                    self.enter("teardown")
                elif isinstance(record, wire.Endpoint) and self.launch.companion and not self.companion:
                    self.sampler.ignored = self.tree.root
                    self.companion = self.launch.companion(record, self.tree)
                self.on_record(record)
        except wire.WireError as fault:
            raise Stop("error", f"wire: {fault}") from fault
        return True

    def enter(self, phase: str) -> None:
        if phase == self.phase:
            return
        self.phase = phase
        limit = {"launch": self.limits.launch_s, "teardown": TEARDOWN_S}.get(phase, self.limits.timeout_s)
        end = self.started + self.limits.timeout_s
        # Teardown may run beyond the trial's own limit: its figures are in already.
        self.deadline = time.monotonic() + limit if phase == "teardown" else min(end, time.monotonic() + limit)
        self.on_phase(phase)

    def enforce(self) -> None:
        now = time.monotonic()
        if self.phase in ("launch", "warmup", "measure"):
            with contextlib.suppress(OSError):
                announced = self.phase_file.read_text()
                if announced in ("warmup", "measure"):
                    self.enter(announced)
        if now >= self.deadline:
            raise Stop("timeout", f"still in {self.phase} after {now - self.started:.0f} s")
        if now < self.sampler.due_s:
            return
        held = self.sampler.sample()
        if held > self.limits.memory and self.sampler.confirm() > self.limits.memory:
            raise Stop(
                "out_of_memory", f"the tree held {held / 2**30:.2f} GiB, the limit is {self.limits.memory / 2**30:.2f}"
            )
        # Free space first: it costs one call, a folder's size one call a file.
        if self.free_before - shutil.disk_usage(self.launch.scratch.parent).free > self.limits.disk:
            used = machine.folder_size(self.launch.scratch.parent)  # the log lies beside the scratch folder
            if used > self.limits.disk:
                raise Stop(
                    "error", f"wrote {used / 2**30:.2f} GiB to disk, the limit is {self.limits.disk / 2**30:.2f}"
                )

    def judge(self, tail: str) -> tuple[str, str]:
        """Outcome and error of a worker that ended by itself."""
        final, code = self.final, self.tree.exit_status
        if isinstance(final, wire.Done):
            return "ok", ""
        if isinstance(final, wire.Unsupported):
            return "unsupported", final.reason
        if isinstance(final, wire.Failed):
            if final.kind == "import":
                return "environment", final.error
            if final.kind == "crashed":
                killed = oom_kills() > self.oom_before or LOG_SIGNS[1][0].search(tail)
                return "out_of_memory" if killed else "crashed", final.error
            if oom_kills() > self.oom_before:
                return "out_of_memory", final.error
            for pattern, outcome in LOG_SIGNS:
                if pattern.search(final.error) or pattern.search(tail):
                    return outcome, final.error
            return "error", final.error
        if code == -9 and oom_kills() > self.oom_before:
            return "out_of_memory", "the kernel ended it: out of memory"
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return "crashed", f"ended without a result ({how})"

    def settle_log(self) -> str:
        """Cut the log to its two ends; returns the last useful lines."""
        with contextlib.suppress(OSError):
            size = self.log.stat().st_size
            if size > 2 * LOG_BYTES:
                with self.log.open("r+b") as file:
                    head = file.read(LOG_BYTES)
                    file.seek(-LOG_BYTES, os.SEEK_END)
                    end = file.read()
                    file.seek(0)
                    file.write(head + f"\n... {size - 2 * LOG_BYTES} bytes left out ...\n".encode() + end)
                    file.truncate()
            text = self.log.read_bytes().decode("utf-8", "replace")
            traceback = self.final.traceback if isinstance(self.final, wire.Failed) else ""
            return "\n".join([*useful_lines(text), *traceback.splitlines()[-ERROR_LINES:]])
        return ""


def useful_lines(text: str) -> list[str]:
    """The lines a reader looks for: from the last sign of an error on, else the last ones; printable only."""
    lines = [
        "".join(letter for letter in line if letter.isprintable())[:300] for line in text[-LOG_BYTES:].splitlines()
    ]
    lines = [line for line in lines if line.strip()]
    signs = [index for index, line in enumerate(lines) if re.search(r"(?i)error|exception|fatal|signal \d", line)]
    start = max(0, signs[-1] - ERROR_LINES // 2) if signs else max(0, len(lines) - ERROR_LINES)
    return lines[start : start + ERROR_LINES]


def pid_descriptor(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def oom_kills() -> int:
    """Processes that the kernel has ended for want of memory since it started."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
