"""The generator against servers whose behaviour is known, and against mutants of itself that must fail."""

from __future__ import annotations

import http.client
import io
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest

from assay import load
from assay.client import figures, right
from assay.transport import Codec

SERVER = Path(__file__).parent / "servers/stalling.py"
BODY = b'{"instances": [[1]]}'
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY

Start = Callable[..., int]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Start]:
    """Starts the stalling server; returns its port."""
    processes = []

    def start(serve_s: float = 60, stall_s: float = 0, delay_s: float = 0) -> int:
        port = tmp_path / f"port{len(processes)}"
        command = [sys.executable, str(SERVER), str(port), str(serve_s), str(stall_s), str(delay_s)]
        processes.append(subprocess.Popen(command))
        while not port.exists():
            time.sleep(0.01)
        return int(port.read_text())

    yield start
    for process in processes:
        process.kill()
        process.wait()


def offer(
    port: int, rate: float, seconds: float, limit: int = 1024, bodies: io.BytesIO | None = None, timeout_s: float = 10
) -> load.Log:
    generator = load.Generator("127.0.0.1", port, [REQUEST], bodies or io.BytesIO(), limit, timeout_s)
    try:
        moments = load.arrivals("poisson", rate, seconds, seed=3)
        return generator.open_loop(moments, numpy.zeros(len(moments)), lambda start: None)
    finally:
        generator.close()


def milliseconds(values: numpy.ndarray, quantile: float) -> float:
    return float(numpy.percentile(values, quantile)) / 1e6


def test_arrivals_are_a_poisson_process_of_the_rate_and_repeat_with_their_seed() -> None:
    moments = load.arrivals("poisson", 1000, 30, seed=1)
    gaps = numpy.diff(moments) / 1e9

    assert abs(len(moments) - 30_000) < 4 * 30_000**0.5
    assert abs(gaps.std() / gaps.mean() - 1) < 0.03
    assert (numpy.diff(moments) >= 0).all()
    assert (moments == load.arrivals("poisson", 1000, 30, seed=1)).all()
    assert len(numpy.unique(numpy.diff(load.arrivals("constant", 100, 2, seed=1)))) == 1


def paced(port: int, seconds: float, latencies: list[float]) -> None:
    """A worker of a closed loop: 25 requests a second, each after the last one's answer, timed from when it is sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    due = time.monotonic()
    end = due + seconds
    while (due := max(due + 1 / 25, time.monotonic())) < end:
        time.sleep(max(0, due - time.monotonic()))
        sent = time.monotonic()
        connection.request("POST", "/", BODY)
        connection.getresponse().read()
        latencies.append((time.monotonic() - sent) * 1e3)
    connection.close()


def test_m49_a_stall_is_charged_to_every_request_that_it_kept_waiting(server: Start, tmp_path: Path) -> None:
    """The mutants of M50, at the same server at the same time, are found out by the same numbers; LoadGen agrees."""
    port = server(serve_s=4, stall_s=1)
    command = [sys.executable, str(SERVER.with_name("oracle.py")), str(port), "200", "15", str(tmp_path)]
    oracle = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    closed: list[float] = []
    pooled: list[load.Log] = []
    mutants = [threading.Thread(target=paced, args=[port, 15, closed]) for _ in range(8)]
    mutants.append(threading.Thread(target=lambda: pooled.append(offer(port, 200, 15, limit=8))))
    for mutant in mutants:
        mutant.start()
    log = offer(port, 200, 15)
    for mutant in mutants:
        mutant.join()
    response = log.done - log.scheduled
    loadgen, _ = oracle.communicate(timeout=60)

    assert (log.status == 200).all()
    assert abs(milliseconds(response, 99) / (int(loadgen) / 1e6) - 1) < 0.1  # M52
    assert milliseconds(response, 90) > 200
    assert 800 < milliseconds(response, 99) < 1100
    assert numpy.percentile(closed, 90) < 200
    assert milliseconds(pooled[0].done - pooled[0].sent, 90) < 200


def test_m51_a_generator_that_stands_still_is_late_and_does_not_blame_the_server(server: Start) -> None:
    class Blocks(io.BytesIO):
        count = 0

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.count += 1
            if self.count == 300:
                time.sleep(1)
            return super().write(data)

    log = offer(server(), 200, 4, bodies=Blocks())
    edges = {"opens_ns": int(log.scheduled[0]), "closes_ns": int(log.scheduled[-1])}
    row = figures({"kind": "server", "rate": 200, "arrivals": "poisson", "seed": 3}, log, {}, edges)

    assert milliseconds(log.fired - log.scheduled, 99) > 700
    assert milliseconds(log.done - log.scheduled, 99) > 700
    assert milliseconds((log.done - log.sent), 90) < 200
    assert "LAG" in str(row["codes"])


def test_m76_a_known_service_time_is_measured(server: Start) -> None:
    log = offer(server(delay_s=0.005), 20, 4)

    assert 5 <= milliseconds(log.done - log.sent, 50) < 7
    assert log.connections < 10  # they are kept alive


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"not http at all\r\n\r\n", load.GARBAGE),
        (b"", load.CLOSED),
        (b"HTTP/1.1 503 no\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 503),
        (None, load.TIMEOUT),
    ],
)
def test_what_a_server_does_instead_of_answering_is_told_apart(answer: bytes | None, status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()

        def behave() -> None:
            held = []
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    break
                connection.recv(65536)
                if answer is None:
                    held.append(connection)
                else:
                    connection.sendall(answer)
                    connection.close()
            for connection in held:
                connection.close()

        thread = threading.Thread(target=behave)
        thread.start()
        log = offer(listener.getsockname()[1], 50, 0.5, timeout_s=0.3)
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert set(log.status) == {status}
    assert (log.done > 0).all()


def test_nothing_that_listens_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    assert set(offer(port, 50, 0.3).status) == {load.REFUSED}


def test_requests_wait_for_a_connection_where_the_pool_is_small(server: Start) -> None:
    log = offer(server(delay_s=0.01), 200, 1, limit=1)

    assert log.connections == 1
    assert milliseconds(log.sent - log.fired, 99) > 50
    assert (log.status == 200).all()


def test_a_codec_writes_and_reads_a_dialect() -> None:
    codec = Codec('{"inputs": [{"shape": $shape, "data": $flat, "rows": $rows}]}', "outputs.0.data")
    body = codec.encode(numpy.array([[1, 2], [3, 4.5]], dtype="float32"))

    assert body == b'{"inputs": [{"shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.5], "rows": [[1.0, 2.0], [3.0, 4.5]]}]}'
    assert right(codec.decode(b'{"outputs": [{"data": [[1, 2], [3, 4]]}]}'), numpy.array([1.0, 2, 3, 4.00005]))
    assert not right(numpy.array([1.0, 2]), numpy.array([1.0]))
    with pytest.raises(ValueError, match=r"outputs\.0\.data"):
        codec.decode(b'{"outputs": []}')
