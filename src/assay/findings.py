"""What a server can do beside answering: proved by calls whose outcome was checked, each with a control that must fail.

A finding is `passed`, `failed` (tried, and wrong), or `none` (the tool has no such thing, or refuses in its own words).
"""

from __future__ import annotations

import dataclasses
import http.client
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy

from assay.transport import Transport

CALLS = 10  # that a counter has to rise by
SETTLE_S = 1.0  # for counters that are written behind the answer
TIMEOUT_S = 10.0
SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?P<labels>\{.*\})? (?P<value>[-+0-9.eE]+)")
UNKNOWN = "nosuchmodel"

Reach = Callable[[str, numpy.ndarray], Transport]
Right = Callable[[numpy.ndarray, numpy.ndarray], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    name: str  # metrics, second or grpc
    state: str  # passed, failed or none
    said: str


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A server that answers rightly, and what its tool says that it offers beside that."""

    url: str
    offers: Mapping[str, Any]  # by probe: a URL, or {"declined": the tool's words}
    transport: Transport
    reach: Reach
    right: Right
    payloads: numpy.ndarray
    golden: list[numpy.ndarray]  # flat, a payload each
    second: list[numpy.ndarray]  # the same of the second model


def find(subject: Subject) -> list[Finding]:
    """Every probe that the tool's file speaks of."""
    asked = {"metrics": metrics, "second": second, "grpc": grpc}
    found = []
    for name, offer in subject.offers.items():
        if isinstance(offer, dict):
            state, said = declined(subject, name, offer["declined"])
            found.append(Finding(name, state, said))
            continue
        try:
            state, said = asked[name](subject, offer)
        except (OSError, ValueError, http.client.HTTPException) as fault:
            state, said = "failed", f"{type(fault).__name__}: {fault}"
        found.append(Finding(name, state, said))
    return found


def declined(subject: Subject, name: str, said: str) -> tuple[str, str]:
    """What the tool's file says is not there, tried where it would be."""
    if name != "metrics":
        return "none", said
    url = urllib.parse.urlunsplit(urllib.parse.urlsplit(subject.url)._replace(path="/metrics", query=""))
    try:
        scrape(url)
    except (OSError, ValueError, http.client.HTTPException) as fault:
        return "none", f"{said} (/metrics: {fault})"
    return "failed", f"said to have none, yet /metrics answers: {said}"


def metrics(subject: Subject, url: str) -> tuple[str, str]:
    """A request counter rises by exactly the calls made, and without calls not at all."""
    before = scrape(url)
    time.sleep(SETTLE_S)
    idle = scrape(url)
    for call in range(CALLS):
        subject.transport.ask(call % len(subject.golden), TIMEOUT_S)
    time.sleep(SETTLE_S)
    after = scrape(url)
    still = {key for key in idle if idle[key] == before.get(key, 0.0)}
    exact = sorted(
        key for key, value in after.items() if value - idle.get(key, 0.0) == CALLS and (key in still or key not in idle)
    )
    if exact:
        return (
            "passed",
            f"{len(after)} series; {exact[0][:100]} rose by exactly {CALLS} for {CALLS} calls, and not without",
        )
    return "failed", f"{len(after)} series at the metrics page, none of which rose by exactly {CALLS} for {CALLS} calls"


def scrape(url: str) -> dict[str, float]:
    """Series of a page in Prometheus' text format. Raises ValueError where there are none."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        text = answer.read().decode()
    found = {
        match["name"] + (match["labels"] or ""): float(match["value"])
        for line in text.splitlines()
        if (match := SAMPLE.match(line))
    }
    if not found:
        raise ValueError(f"{url}: no series in Prometheus' text format")
    return found


def second(subject: Subject, url: str) -> tuple[str, str]:
    """Two models with other weights behind one server each answer as theirs, and an unknown name is an error."""
    other = subject.reach(url, subject.payloads)
    wrong = 0
    for index in range(len(subject.golden)):
        answers = (subject.transport, subject.golden), (other, subject.second)
        for transport, golden in answers:
            status, body = transport.ask(index, TIMEOUT_S)
            wrong += status != 200 or not subject.right(transport.decode(body), golden[index])
    asked = 2 * len(subject.golden)
    if wrong:
        return "failed", f"{wrong} of {asked} predictions of the two models are not theirs"
    parts = urllib.parse.urlsplit(url)
    if "second" not in parts.path:
        return "failed", f"{url} does not name the second model, so a wrong name cannot be tried"
    unknown = urllib.parse.urlunsplit(parts._replace(path=parts.path.replace("second", UNKNOWN)))
    status, _ = subject.reach(unknown, subject.payloads[:1]).ask(0, TIMEOUT_S)
    if status == 200:
        return "failed", "a model that does not exist answered as well"
    return (
        "passed",
        f"two models with other weights gave {asked} right predictions in turn; an unknown name gives status {status}",
    )


def grpc(subject: Subject, url: str) -> tuple[str, str]:
    """Every payload over gRPC gives the golden prediction, which REST has given."""
    other = subject.reach(url, subject.payloads)
    wrong = 0
    for index, golden in enumerate(subject.golden):
        status, body = other.ask(index, TIMEOUT_S)
        wrong += status != 200 or not subject.right(other.decode(body), golden)
    if wrong:
        return "failed", f"{wrong} of {len(subject.golden)} predictions over gRPC are not those over REST"
    return "passed", f"{len(subject.golden)} predictions over gRPC are those over REST, within 1e-4"


def goldens(path: Path) -> list[numpy.ndarray]:
    """Of a model's folder, flat."""
    return [golden.astype(numpy.float64).ravel() for golden in numpy.load(path / "golden.npy")]
