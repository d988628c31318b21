"""Several generators as one: the same requests, the same answers, one log in order of schedule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from assay import load
from assay.shards import Shards
from tests.test_load import Start, server  # noqa: F401

PAYLOADS = 4


@pytest.fixture
def shards(server: Start, tmp_path: Path) -> Iterator[Shards]:  # noqa: F811
    """Two, not pinned, against the null server."""
    payloads = tmp_path / "payloads.npy"
    numpy.save(payloads, numpy.zeros((PAYLOADS, 1, 2), "float32"))
    address = (f"http://127.0.0.1:{server()}/", '{"instances": $rows}', "predictions", {})
    found = Shards([None, None], address, payloads)
    yield found
    found.close()


def test_an_open_load_is_dealt_out_and_comes_back_as_one(shards: Shards, tmp_path: Path) -> None:
    moments = load.arrivals("poisson", 500, 2, seed=1)
    chosen = numpy.arange(len(moments)) % PAYLOADS
    started: list[int] = []
    with (tmp_path / "bodies").open("w+b") as bodies:
        generator = shards.generator(bodies, 256, 5.0)
        log = generator.open_loop(moments, chosen, started.append)
        assert bodies.tell() == log.size.sum() > 0

    assert (log.scheduled == moments + started[0]).all()
    assert (log.payload == chosen).all()
    assert (log.status == 200).all()
    assert (log.fired >= log.scheduled).all()
    assert (log.done > log.sent).all()
    assert sorted(generator.order) == list(range(len(moments)))
    assert not list(tmp_path.glob("bodies.*"))


def test_a_closed_load_shares_its_concurrency(shards: Shards, tmp_path: Path) -> None:
    with (tmp_path / "bodies").open("w+b") as bodies:
        log = shards.generator(bodies, 256, 5.0).closed_loop(3, 0.5, numpy.zeros(100_000))

    assert log.connections == 3
    assert len(log) > 100
    assert (log.status == 200).all()


def test_nothing_is_left_when_they_are_closed(shards: Shards) -> None:
    shards.close()

    assert not any(process.is_alive() for process in shards.processes)
