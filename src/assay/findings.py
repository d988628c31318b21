"""What a server can do beside answering: proved by calls whose outcome was checked.

A finding is `passed`, `failed` (tried, and wrong), `none` (tried, and the tool itself has none or refuses), or
`declined` (what the tool's file says of its documentation, and nobody tried).
"""

from __future__ import annotations

import dataclasses
import http.client
import itertools
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from assay import browser, described
from assay.transport import Rest, Transport

CALLS = (10, 7)  # that a counter has to rise by, one after the other
COUNTER = re.compile(r"(?i)(request|infer|predict).*(_total|_count|2xx)$|^Requests2XX")
NOT_THERE = (404, 405)
SETTLE_S = 1.0  # for counters that are written behind the answer
TIMEOUT_S = 10.0
SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?P<labels>\{.*\})? (?P<value>[-+0-9.eE]+)")
UNKNOWN = "nosuchmodel"

Reach = Callable[[str, numpy.ndarray], Transport]
Right = Callable[[numpy.ndarray, numpy.ndarray], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    name: str  # metrics, second, grpc, page, score, or a topic of `described`
    state: str  # passed, failed, none or declined
    said: str


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """A server that answers rightly, and what its tool says that it offers beside that."""

    url: str
    offers: Mapping[str, Any]  # by probe: a URL, or {"declined": the tool's words}; `api`: a list of URLs
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
            state, said = absent(subject, name, offer)
            found.append(Finding(name, state, said))
            continue
        if name == "api":
            found.append(Finding("page", *tried(described.page, [subject.url, *offer])))
            if (chromium := browser.program()) and isinstance(subject.transport, Rest):
                found.append(Finding("score", *tried(score, subject, offer, subject.transport, chromium)))
            found += [Finding(topic, *tried(described.topic, topic, offer)) for topic in described.TOPICS]
        else:
            found.append(Finding(name, *tried(asked[name], subject, offer)))
    return found


def tried(ask: Callable[..., tuple[str, str]], *arguments: Any) -> tuple[str, str]:
    """State and what is said; what breaks off has failed."""
    try:
        return ask(*arguments)
    except (OSError, ValueError, http.client.HTTPException, browser.BrowserError) as fault:
        return "failed", f"{type(fault).__name__}: {fault}"


def absent(subject: Subject, name: str, offer: Mapping[str, str]) -> tuple[str, str]:
    """What the tool refused, or its file says is not there; a metrics page is looked for where it would be."""
    if "refused" in offer:
        return "none", offer["refused"]
    said = offer["declined"]
    if name != "metrics":
        return "declined", said
    url = urllib.parse.urlunsplit(urllib.parse.urlsplit(subject.url)._replace(path="/metrics", query=""))
    try:
        scrape(url)
    except urllib.error.HTTPError as fault:
        return ("none" if fault.code in NOT_THERE else "declined"), f"{said} (/metrics answers {fault.code})"
    except (OSError, ValueError, http.client.HTTPException) as fault:
        return "declined", f"{said} (/metrics: {fault})"
    return "failed", f"said to have none, yet /metrics answers: {said}"


def metrics(subject: Subject, url: str) -> tuple[str, str]:
    """A counter of requests rises by exactly the calls made, twice, and without calls not at all."""
    time.sleep(SETTLE_S)
    seen = [scrape(url)]
    for calls in (0, *CALLS):
        for call in range(calls):
            status, _ = subject.transport.ask(call % len(subject.golden), TIMEOUT_S)
            if status != 200:
                return "failed", f"a call was answered with status {status}"
        time.sleep(SETTLE_S)
        seen.append(scrape(url))
    exact = [
        key
        for key in sorted(seen[-1])
        if COUNTER.search(key.split("{")[0])
        and [after.get(key, 0.0) - before.get(key, 0.0) for before, after in itertools.pairwise(seen)] == [0, *CALLS]
    ]
    counts = " and ".join(map(str, CALLS))
    if exact:
        return "passed", f"{exact[0][:100]} rose by exactly {counts} for {counts} calls, and not at all without"
    return "failed", f"none of {len(seen[-1])} series is a counter of requests that rose by exactly {counts}"


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


def score(subject: Subject, urls: Sequence[str], rest: Rest, chromium: str) -> tuple[str, str]:
    """A form of the server's own page, filled in by a browser without a network, shows the golden prediction.

    A page that takes its scripts from elsewhere may do so with a network: that is a failure here, and not a lack.
    """
    found, missing = described.pages([subject.url, *urls])
    if not found:
        return "none", missing
    elsewhere = [described.borrowed(url, sources) for url, sources in found.items() if any(sources)]
    own = [url for url, sources in found.items() if not any(sources)]
    if not own:
        return "failed", f"{elsewhere[0]}, which is out of reach here"
    said = ""
    with browser.opened(chromium) as page:
        for url in own:
            try:
                status, shown = page.send(url, rest.path, rest.codec.encode(subject.payloads[0]).decode())
            except browser.BrowserError as fault:
                said = (
                    said or f"the page at {described.path_of(url)} has no form for {rest.path} that was found: {fault}"
                )
                continue
            if status == "200" and subject.right(rest.decode(shown.encode()), subject.golden[0]):
                return (
                    "passed",
                    f"the form on its page at {described.path_of(url)}, sent by a browser, shows the golden row",
                )
            return "failed", f"the form on its page at {described.path_of(url)} shows status {status} and {shown[:100]}"
    return "failed", said


def goldens(path: Path) -> list[numpy.ndarray]:
    """Of a model's folder, flat."""
    return [golden.astype(numpy.float64).ravel() for golden in numpy.load(path / "golden.npy")]
