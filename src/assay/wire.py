"""Bytes from a worker to records, and the order that records may come in. Does no I/O.

A worker writes JSON lines. What may follow what is the table `TRANSITIONS` and nothing else; a pair that is
not in it is a fault of the worker.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any

PROTOCOL = 4
# A batch of 10,000 samples with 16-digit stamps and 20-digit values is 380 kB; ten times that is a flood.
MAX_LINE = 4 * 2**20


class WireError(Exception):
    """The worker broke the protocol."""


class State(enum.Enum):
    START = enum.auto()
    READY = enum.auto()
    WORKING = enum.auto()
    ENDED = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Hello:
    protocol: int
    python: str
    pid: int
    at_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    exposed: str  # why the trial shares the host's network; "": it has one of its own


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    name: str
    at_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Digests:
    files: dict[str, str]  # name to sha256


@dataclasses.dataclass(frozen=True, slots=True)
class Pilot:
    step_s: float  # seconds a step of the single process
    window_steps: int


@dataclasses.dataclass(frozen=True, slots=True)
class Rank:
    """A rank's log without its samples; see `benchmarks.contract.RankLog`."""

    rank: int
    world: int
    stamps: dict[str, int]
    window: list[int]
    weights: str
    applied: dict[str, Any]
    facts: dict[str, Any]
    usage: dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Samples:
    """Values of one metric of one rank; `start` is the index of the first. `at_ns` may be empty."""

    rank: int
    metric: str
    unit: str
    start: int
    at_ns: list[int]
    values: list[float]


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server will answer; see `benchmarks.contract.Endpoint`."""

    url: str
    request: str  # the dialect's two halves
    response: str
    headers: dict[str, str]
    offers: dict[str, Any]  # by probe: a URL, or {"declined": why}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """See `benchmarks.finding.Finding`."""

    name: str
    state: str
    said: str
    value: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    at_ns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Unsupported:
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    kind: str  # "import", "error" or "crashed"
    error: str
    traceback: str


Record = Hello | Network | Phase | Digests | Pilot | Endpoint | Finding | Rank | Samples | Done | Unsupported | Failed

RECORDS: dict[str, type[Record]] = {
    "hello": Hello,
    "network": Network,
    "phase": Phase,
    "digests": Digests,
    "pilot": Pilot,
    "endpoint": Endpoint,
    "finding": Finding,
    "rank": Rank,
    "samples": Samples,
    "done": Done,
    "unsupported": Unsupported,
    "failed": Failed,
}

WORK = ("phase", "digests", "pilot", "endpoint", "finding", "rank", "samples")
TRANSITIONS: dict[tuple[State, str], State] = {
    (State.START, "hello"): State.READY,
    (State.READY, "network"): State.READY,
    (State.READY, "phase"): State.WORKING,
    **{(State.WORKING, kind): State.WORKING for kind in WORK},
    **{(state, kind): State.ENDED for state in (State.READY, State.WORKING) for kind in ("unsupported", "failed")},
    (State.WORKING, "done"): State.ENDED,
}


class Reader:
    """Feed it bytes in any portions; it gives whole records or raises WireError, once."""

    def __init__(self) -> None:
        self.state = State.START
        self.rest = b""

    def feed(self, data: bytes) -> list[Record]:
        """Records completed by `data`, in order."""
        *lines, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > MAX_LINE:
            raise WireError(f"a line of more than {MAX_LINE} bytes")
        return [self.record(line) for line in lines]

    def record(self, line: bytes) -> Record:
        try:
            fields = json.loads(line)
            kind = fields.pop("record")
            record = RECORDS[kind](**fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
            raise WireError(f"not a record: {line[:80]!r} ({type(fault).__name__}: {fault})") from fault
        following = TRANSITIONS.get((self.state, kind))
        if following is None:
            raise WireError(f"{kind!r} may not come in state {self.state.name}")
        if isinstance(record, Hello) and record.protocol != PROTOCOL:
            raise WireError(f"the worker speaks protocol {record.protocol}, this engine {PROTOCOL}")
        self.state = following
        return record
