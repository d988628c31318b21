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
    made: tuple[str, ...]  # names or ids of what the tool's library has made, which have to appear
    told: Callable[[], str]  # asks the API behind the pages
    process: subprocess.Popen[bytes]


@dataclasses.dataclass(frozen=True, slots=True)
class Gate:
    """An address that asks who calls (RFC 7617), and users by name and password."""

    url: str
    owner: tuple[str, str]
    guest: Callable[[], tuple[str, str]]  # makes a second user, without rights
    grant: Callable[[], None]  # lets the guest read what the address shows
    process: subprocess.Popen[bytes]


def pages(one: Callable[[], AbstractContextManager[Pages]], job: Probing) -> Iterator[Finding]:
    """The page and every script that it names come from the tool itself, and its API tells of what was made."""
    with one() as given:
        text = wait(given.url, given.process)
        sources = [urllib.parse.urljoin(given.url, source) for source in SOURCES.findall(text)]
        host = urllib.parse.urlsplit(given.url).netloc
        others = [source for source in sources if urllib.parse.urlsplit(source).netloc != host]
        for source in sources if not others else ():
            fetch(source)
        told = given.told()
        there = all(made in told for made in given.made)
    said = (
        f"a page whose {len(sources)} scripts answer; its API {'tells' if there else 'does not tell'} of what was made"
    )
    if others:
        said = f"a page with scripts from elsewhere, such as {others[0]}"
    yield Finding("ui", "passed" if there and sources and not others else "failed", said)


def gate(one: Callable[[], AbstractContextManager[Gate]], job: Probing) -> Iterator[Finding]:
    """The owner is let in, nobody without a password or with a wrong one, and a guest once it was granted."""
    with one() as given:
        wait(given.url, given.process, *given.owner)
        nobody = [status(given.url), status(given.url, given.owner[0], "wrong")]
        guest = given.guest()
        before = status(given.url, *guest)
        given.grant()
        after = status(given.url, *guest)
    passed = {*nobody, before} <= {401, 403} and after == 200
    said = (
        f"status {nobody[0]} without a password, {nobody[1]} with a wrong one; "
        f"for a second user {before} without rights and {after} with them"
    )
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
