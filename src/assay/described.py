"""What a server's own description of its API names, and the pages that it serves.

A description without a route, a parameter or a field for something is the tool's own word that its API has none; one
that names it shows that it is there, and not that it works. A page counts where its scripts come from the server
itself: others show nothing on a machine without a network.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TIMEOUT_S = 10.0
# Topic to the words that routes, parameters and fields about it have.
TOPICS = {
    "split": ("sends each version a share of the calls", r"canary|traffic|split|shadow|percent"),
    "drift": ("watches the distribution of inputs or outputs", r"drift|outlier|skew|distribution"),
    "scaling": ("changes the number of replicas", r"replica|autoscal|(min|max|initial)_?workers?\b|instance_?count"),
}
PAGES = ("/", "/ui", "/docs", "/v2/docs", "/dashboard")
SOURCES = re.compile(r"""<script\b[^>]*\bsrc=["']([^"']+)["']""")
NOT_THERE = (404, 405)


def topic(name: str, urls: Sequence[str]) -> tuple[str, str]:
    """State and what is said of one of TOPICS. Raises OSError or ValueError where there is no description."""
    names = sorted({one for url in urls for one in named(described(url))})
    where = ", ".join(dict.fromkeys(urllib.parse.urlsplit(url).path for url in urls))
    what, words = TOPICS[name]
    found = [one for one in names if re.search(words, one, re.IGNORECASE)]
    if found:
        return "passed", f"the description of its API names what {what}: {', '.join(found[:3])}"
    return (
        "none",
        f"none of the {len(names)} routes, parameters and fields in the description of its API ({where}) {what}",
    )


def described(url: str) -> dict[str, Any]:
    """The OpenAPI document at a URL: by GET, or by OPTIONS where that is not allowed.

    Raises OSError or ValueError where there is none.
    """
    try:
        text = fetch(url)
    except urllib.error.HTTPError:
        text = fetch(url, "OPTIONS")
    document = json.loads(text)
    if not isinstance(document, dict) or "paths" not in document:
        raise ValueError(f"{url}: no OpenAPI document")
    return document


def named(document: Mapping[str, Any]) -> Iterator[str]:
    """Its routes, the names of their parameters, and the fields of everything that is sent or answered."""
    yield from document["paths"]
    waiting: list[Any] = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(one.get("name"), str) and "in" in one:
                yield one["name"]
            if isinstance(one.get("properties"), dict):
                yield from one["properties"]
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def page(urls: Sequence[str]) -> tuple[str, str]:
    """State and what is said of the first page that the server serves on the hosts of `urls`.

    Raises OSError where a path is neither answered nor said to be missing.
    """
    found, missing = pages(urls)
    if not found:
        return "none", missing
    for url, sources in found.items():
        if not any(sources):
            return "passed", f"a page at {path_of(url)}, its {len(sources)} scripts the server's own"
    url, sources = next(iter(found.items()))
    return "none", f"{borrowed(url, sources)}, and does nothing without a network"


def pages(urls: Sequence[str]) -> tuple[dict[str, list[str]], str]:
    """Pages with scripts on the hosts of `urls`, with the hosts of the scripts; and where there is none.

    Raises OSError where there is none and a path is neither answered nor said to be missing.
    """
    found: dict[str, list[str]] = {}
    missing: list[str] = []
    broken: list[str] = []
    for root in dict.fromkeys(urllib.parse.urlunsplit((*urllib.parse.urlsplit(url)[:2], "", "", "")) for url in urls):
        for path in PAGES:
            try:
                text = fetch(root + path)
            except urllib.error.HTTPError as fault:
                (missing if fault.code in NOT_THERE else broken).append(f"{path} {fault.code}")
                fault.close()
                continue
            sources = [urllib.parse.urlsplit(one).netloc for one in SOURCES.findall(text)]
            if "<html" in text.lower() and sources:
                found[root + path] = sources
    if broken and not found:
        raise OSError(f"what the server serves cannot be told: {', '.join(broken)}")
    return found, f"no page: {', '.join(dict.fromkeys(missing))}"


def borrowed(url: str, sources: Sequence[str]) -> str:
    return f"the page at {path_of(url)} has scripts from {', '.join(sorted(set(filter(None, sources))))}"


def path_of(url: str) -> str:
    return urllib.parse.urlsplit(url).path


def fetch(url: str, method: str = "GET") -> str:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=TIMEOUT_S) as answer:
        text: str = answer.read().decode()
    return text
