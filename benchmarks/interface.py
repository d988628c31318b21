"""A tool's own web pages and its gate, served on loopback: what they show, and whom they let in."""

from __future__ import annotations

import base64
import dataclasses
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from benchmarks.contract import Probing
from benchmarks.finding import Finding

READY_S, TIMEOUT_S, POLL_S = 90.0, 10.0, 0.5
SOURCES = re.compile(r"""<script\b[^>]*\bsrc=["']([^"']+)["']""")


@dataclasses.dataclass(frozen=True, slots=True)
class Pages:
    """Pages that are served now."""

    url: str
    made: str  # the id of what the tool's library has made, which has to appear
    told: Callable[[], str]  # asks the API behind the pages
    process: subprocess.Popen[bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """An address that asks who calls (RFC 7617)."""

    url: str
    user: str
    password: str
    process: subprocess.Popen[bytes]


def pages(one: Callable[[], AbstractContextManager[Pages]], job: Probing) -> Iterator[Finding]:
    """The page and every script that it names come from the tool itself, and its API tells of what was made."""
    with one() as given:
        text = wait(given.url, given.process)
        sources = [urllib.parse.urljoin(given.url, source) for source in SOURCES.findall(text)]
        for source in sources:
            fetch(source)
        there = given.made in given.told()
    said = f"a page with {len(sources)} scripts of its own; its API {'tells' if there else 'does not tell'} of the run"
    yield Finding("ui", "passed" if there and "<html" in text.lower() else "failed", said)


def gate(one: Callable[[], AbstractContextManager[Gate]], job: Probing) -> Iterator[Finding]:
    """With the right password it answers; without one, and with a wrong one, it does not."""
    with one() as given:
        right = wait(given.url, given.process, given.user, given.password) != ""
        refused = [status(given.url), status(given.url, given.user, "wrong")]
    passed = right and set(refused) <= {401, 403}
    said = f"answers with the password, gives {refused[0]} without and {refused[1]} with a wrong one"
    yield Finding("access", "passed" if passed else "failed", said)


def wait(url: str, process: subprocess.Popen[bytes], user: str = "", password: str = "") -> str:
    """What the address answers once it does. Raises TimeoutError, or RuntimeError where the server has ended."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            return fetch(url, user, password)
        except (OSError, urllib.error.HTTPError) as fault:
            if process.poll() is not None:
                raise RuntimeError(f"the server ended by itself with exit code {process.returncode}") from fault
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} does not answer within {READY_S:.0f} s: {fault}") from fault
        time.sleep(POLL_S)


def status(url: str, user: str = "", password: str = "") -> int:
    try:
        fetch(url, user, password)
    except urllib.error.HTTPError as fault:
        return fault.code
    return 200


def fetch(url: str, user: str = "", password: str = "", token: str = "", body: bytes | None = None) -> str:
    """What an address answers, with basic authentication or a bearer's token where there is one; JSON is posted."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body else {})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if user:
        word = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {word}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        text: str = answer.read().decode()
    return text
