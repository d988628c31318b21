"""Bytes to records, in whatever portions they come; and the order that records may come in."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import wire
from assay.wire import PROTOCOL, Done, Failed, Hello, Phase, Reader, Samples, State, WireError

HELLO: dict[str, Any] = {"record": "hello", "protocol": PROTOCOL, "python": "3.11.7", "pid": 7, "at_ns": 1}
PHASE: dict[str, Any] = {"record": "phase", "name": "launch", "at_ns": 2}
SAMPLES: dict[str, Any] = {
    "record": "samples",
    "rank": 0,
    "metric": "step_time",
    "unit": "ns",
    "start": 20,
    "at_ns": [5, 9],
    "values": [4, 4],
}
DONE: dict[str, Any] = {"record": "done", "at_ns": 3}
WHOLE = [HELLO, PHASE, SAMPLES, DONE]
RECORDS = [
    Hello(PROTOCOL, "3.11.7", 7, 1),
    Phase("launch", 2),
    Samples(0, "step_time", "ns", 20, [5, 9], [4, 4]),
    Done(3),
]


def encode(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@given(st.lists(st.integers(0, len(encode(WHOLE))), max_size=12))
def test_any_portions_give_the_same_records(cuts: list[int]) -> None:
    data = encode(WHOLE)
    reader, found = Reader(), []
    places = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(places):
        found += reader.feed(data[start:end])

    assert found == RECORDS
    assert reader.state is State.ENDED


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([PHASE], "'phase' may not come in state START"),
        ([HELLO, SAMPLES], "'samples' may not come in state READY"),
        ([HELLO, DONE], "'done' may not come in state READY"),
        ([*WHOLE, DONE], "'done' may not come in state ENDED"),
        ([HELLO, HELLO], "'hello' may not come in state READY"),
        ([{**HELLO, "protocol": PROTOCOL + 1}], f"protocol {PROTOCOL + 1}"),
        ([{"record": "throughput", "value": 1e9}], "not a record"),
        ([{**HELLO, "speed": 9}], "not a record"),
        ([{"no": "record"}], "not a record"),
    ],
)
def test_a_broken_order_or_record_is_the_workers_fault(records: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(WireError, match=message):
        Reader().feed(encode(records))


@given(st.binary(min_size=1, max_size=60))
def test_garbage_never_raises_anything_else(data: bytes) -> None:
    with pytest.raises(WireError):
        Reader().feed(data.replace(b"\n", b" ") + b"\n")


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(WireError, match="more than"):
        Reader().feed(b"x" * (wire.MAX_LINE + 1))


def test_a_worker_may_fail_before_it_works() -> None:
    failed = {"record": "failed", "kind": "import", "error": "no torch", "traceback": ""}

    assert Reader().feed(encode([HELLO, failed]))[1] == Failed("import", "no torch", "")
