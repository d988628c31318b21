"""The load generator: requests leave when the schedule says so, whatever became of the ones before.

One thread, one epoll, plain sockets. Four stamps a request: scheduled, fired, sent, done; between fired and done
nothing is parsed but the framing of HTTP/1.1, and nothing is checked or logged. A response that a user waits for
begins at the scheduled moment, so a server that stalls is charged for everything that it kept waiting
(coordinated omission: G. Tene, "How NOT to Measure Latency", 2013; rules M37 to M41).
"""

from __future__ import annotations

import array
import collections
import contextlib
import ctypes
import dataclasses
import errno
import gc
import os
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import httptools
import numpy

# Statuses of requests that got no HTTP answer; others are the server's own.
UNANSWERED, TIMEOUT, CLOSED, REFUSED, GARBAGE = 0, -1, -2, -3, -4
ERRORS = {UNANSWERED: "unanswered", TIMEOUT: "timeout", CLOSED: "closed", REFUSED: "refused", GARBAGE: "garbage"}

LEAD_NS = 20_000_000  # between the call and the first scheduled moment
SWEEP_S = 0.1  # how late a timeout may be noticed
RECEIVE = 256 * 1024
CLOCK_MONOTONIC, TFD_NONBLOCK, TFD_TIMER_ABSTIME = 1, 0o4000, 1  # linux/timerfd.h


def arrivals(kind: str, rate: float, seconds: float, seed: int) -> numpy.ndarray:
    """Moments of arrival in ns from 0, ascending: a Poisson process of `rate` a second, or constant spacing."""
    if kind == "constant":
        return (numpy.arange(int(rate * seconds)) * (1e9 / rate)).astype(numpy.int64)
    generator = numpy.random.default_rng([seed, 4])
    # Six deviations more than expected, so that the draw practically never ends too early.
    count = int(rate * seconds + 6 * (rate * seconds) ** 0.5 + 10)
    moments = numpy.cumsum(generator.exponential(1e9 / rate, count))
    return moments[moments < seconds * 1e9].astype(numpy.int64)


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    """What became of each request, in order of schedule. Times are ns of `time.perf_counter_ns`; 0: never."""

    payload: numpy.ndarray  # index of the request's content
    scheduled: numpy.ndarray
    fired: numpy.ndarray
    sent: numpy.ndarray
    done: numpy.ndarray
    status: numpy.ndarray
    size: numpy.ndarray  # bytes of the response's body
    cpu_ns: int  # of this process, while the requests ran
    connections: int  # that were opened

    def __len__(self) -> int:
        return len(self.scheduled)


class Recorder:
    """Keeps what became of each request of one load: arrays, so that a stamp is one assignment (M38, M41)."""

    bodies: BinaryIO  # of the answers, one after the other

    def prepare(self, due: numpy.ndarray, payloads: numpy.ndarray) -> None:
        """Room for as many requests as `due` has moments, in ns of `time.perf_counter_ns`; 0: not known before."""
        count = len(due)
        self.due: array.array[int] = array.array("q", due.astype(numpy.int64).tobytes())
        self.payloads: array.array[int] = array.array("q", payloads.astype(numpy.int64).tobytes())
        self.fired, self.sent, self.done = (array.array("q", bytes(8 * count)) for _ in range(3))
        self.status, self.size = array.array("i", bytes(4 * count)), array.array("i", bytes(4 * count))
        self.order: array.array[int] = array.array("q")  # requests in the order of their bodies
        self.cpu_ns = 0

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """No garbage is collected, which would be charged to whichever request it hits; CPU is counted."""
        gc.collect()
        gc.freeze()
        gc.disable()
        began = time.process_time_ns()
        try:
            yield
        finally:
            self.cpu_ns = time.process_time_ns() - began
            gc.enable()
            gc.unfreeze()

    def log(self, count: int, connections: int) -> Log:
        """Of the first `count` requests."""

        def column(values: array.array[int]) -> numpy.ndarray:
            return numpy.array(values[:count])

        return Log(
            payload=column(self.payloads),
            scheduled=column(self.due),
            fired=column(self.fired),
            sent=column(self.sent),
            done=column(self.done),
            status=column(self.status),
            size=column(self.size),
            cpu_ns=self.cpu_ns,
            connections=connections,
        )


class Timer:
    """A descriptor that becomes readable at a moment given in ns: epoll's own timeout counts milliseconds."""

    def __init__(self) -> None:
        self.system = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.system.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self.setting = (ctypes.c_long * 4)()  # struct itimerspec: interval and value, seconds and nanoseconds

    def set(self, moment_ns: int) -> None:
        """`time.perf_counter_ns` is CLOCK_MONOTONIC on Linux."""
        self.setting[2], self.setting[3] = divmod(moment_ns, 1_000_000_000)
        self.system.timerfd_settime(self.descriptor, TFD_TIMER_ABSTIME, self.setting, None)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 8)

    def close(self) -> None:
        os.close(self.descriptor)


class Connection:
    """One keep-alive connection, with at most one request in flight."""

    __slots__ = ("alive", "body", "complete", "parser", "pending", "request", "since", "socket", "wanted")

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = -1
        self.since = 0
        self.pending: memoryview | bytes = b""
        self.wanted = 0  # the epoll events asked for
        self.parser = httptools.HttpResponseParser(self)
        self.reset()
        code = self.socket.connect_ex((host, port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def reset(self) -> None:
        """Ready for the next response."""
        self.alive = True
        self.body: list[bytes] = []
        self.complete = False

    # Called by the parser, which forgets what the headers said once the message is complete.
    def on_headers_complete(self) -> None:
        self.alive = self.parser.should_keep_alive()

    def on_body(self, part: bytes) -> None:
        self.body.append(part)

    def on_message_complete(self) -> None:
        self.complete = True


class Generator(Recorder):
    """Sends `requests`, whole HTTP/1.1 messages, to one address; responses' bodies go to `bodies` as they come."""

    def __init__(
        self, host: str, port: int, requests: Sequence[bytes], bodies: BinaryIO, limit: int, timeout_s: float
    ) -> None:
        self.host, self.port, self.requests, self.bodies = host, port, requests, bodies
        self.limit, self.timeout_ns = limit, int(timeout_s * 1e9)
        self.epoll = select.epoll()
        self.timer = Timer()
        self.epoll.register(self.timer.descriptor, select.EPOLLIN)
        self.by_descriptor: dict[int, Connection] = {}
        self.idle: list[Connection] = []
        self.waiting: collections.deque[int] = collections.deque()
        self.busy = 0
        self.opened = 0

    def close(self) -> None:
        for connection in self.by_descriptor.values():
            connection.socket.close()
        self.timer.close()
        self.epoll.close()

    def open_loop(
        self, moments: numpy.ndarray, payloads: numpy.ndarray, on_start: Callable[[int], None], start: int = 0
    ) -> Log:
        """Fire each request at its moment (ns from `start`, or from now); returns when the last is done or given up."""
        start = start or time.perf_counter_ns() + LEAD_NS
        on_start(start)
        self.open(moments + start, payloads)
        due, total, position = self.due, len(moments), 0
        if total:
            self.timer.set(due[0])
        with self.undisturbed():
            while position < total or self.busy or self.waiting:
                for descriptor, events in self.epoll.poll(SWEEP_S):
                    if descriptor == self.timer.descriptor:
                        self.timer.clear()
                        now = time.perf_counter_ns()
                        while position < total and due[position] <= now:
                            self.fired[position] = now
                            self.fire(position)
                            position += 1
                            now = time.perf_counter_ns()
                        if position < total:
                            self.timer.set(due[position])
                    else:
                        self.handle(descriptor, events)
                self.sweep()
        return self.log(total, self.opened)

    def closed_loop(self, concurrency: int, seconds: float, payloads: numpy.ndarray) -> Log:
        """`concurrency` requests in flight at all times, for `seconds`: each next one follows an answer.

        For the two metrics that are defined so, SingleStream latency and Offline throughput, and for no tail.
        """
        capacity, position = len(payloads), 0
        self.open(numpy.zeros(capacity), payloads)
        deadline = time.perf_counter_ns() + int(seconds * 1e9)
        with self.undisturbed():
            while True:
                now = time.perf_counter_ns()
                while self.busy + len(self.waiting) < concurrency and position < capacity and now < deadline:
                    self.due[position] = self.fired[position] = now
                    self.fire(position)
                    position += 1
                    now = time.perf_counter_ns()
                if not self.busy and not self.waiting:
                    break
                for descriptor, events in self.epoll.poll(SWEEP_S):
                    if descriptor != self.timer.descriptor:
                        self.handle(descriptor, events)
                self.sweep()
        return self.log(position, self.opened)

    def open(self, due: numpy.ndarray, payloads: numpy.ndarray) -> None:
        self.prepare(due, payloads)
        self.opened = 0
        self.swept = time.perf_counter_ns()

    def fire(self, request: int) -> None:
        """Send it on a free connection, open one, or let it wait for one."""
        if self.idle:
            self.send(self.idle.pop(), request)
        elif len(self.by_descriptor) < self.limit:
            try:
                connection = Connection(self.host, self.port)
            except OSError:
                self.status[request] = REFUSED
                self.done[request] = time.perf_counter_ns()
                return
            self.by_descriptor[connection.socket.fileno()] = connection
            self.opened += 1
            connection.request, connection.since = request, self.fired[request]
            connection.pending = self.requests[self.payloads[request]]
            connection.wanted = select.EPOLLOUT
            self.epoll.register(connection.socket.fileno(), connection.wanted)
            self.busy += 1
        else:
            self.waiting.append(request)

    def send(self, connection: Connection, request: int) -> None:
        connection.request, connection.since = request, self.fired[request]
        connection.pending = self.requests[self.payloads[request]]
        self.busy += 1
        self.write(connection)

    def write(self, connection: Connection) -> None:
        """What fits. The request counts as sent when its first bytes are handed to the kernel."""
        request = connection.request
        if not self.sent[request]:
            self.sent[request] = time.perf_counter_ns()
        try:
            count = connection.socket.send(connection.pending)
        except BlockingIOError:
            count = 0
        except OSError:
            self.fail(connection, CLOSED)
            return
        rest = len(connection.pending) - count
        connection.pending = memoryview(connection.pending)[count:] if rest else b""
        self.want(connection, select.EPOLLOUT | select.EPOLLIN if rest else select.EPOLLIN)

    def want(self, connection: Connection, events: int) -> None:
        if connection.wanted != events:
            connection.wanted = events
            self.epoll.modify(connection.socket.fileno(), events)

    def handle(self, descriptor: int, events: int) -> None:
        connection = self.by_descriptor.get(descriptor)
        if connection is None:
            return
        if events & select.EPOLLIN:
            self.receive(connection)
        elif events & (select.EPOLLERR | select.EPOLLHUP):
            refused = connection.wanted == select.EPOLLOUT
            self.fail(connection, REFUSED if refused else CLOSED)
        elif events & select.EPOLLOUT:
            self.write(connection)

    def receive(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.perf_counter_ns()
        if not data:
            self.fail(connection, CLOSED)
            return
        try:
            connection.parser.feed_data(data)
        except httptools.HttpParserError:
            self.fail(connection, GARBAGE)
            return
        if not connection.complete:
            return
        request = connection.request
        if request < 0:
            self.fail(connection, CLOSED)  # an answer that nobody asked for
            return
        self.done[request] = now
        self.status[request] = connection.parser.get_status_code()
        self.size[request] = self.keep(request, connection.body)
        self.busy -= 1
        connection.request = -1
        if connection.alive and not connection.pending:
            connection.reset()
            if self.waiting:
                self.send(connection, self.waiting.popleft())
            else:
                self.idle.append(connection)
        else:
            self.drop(connection)
            self.serve_waiting()

    def keep(self, request: int, body: list[bytes]) -> int:
        size = 0
        for part in body:
            size += self.bodies.write(part)
        self.order.append(request)
        return size

    def fail(self, connection: Connection, status: int) -> None:
        """The connection is lost, and with it the request that was on it."""
        request = connection.request
        if request >= 0:
            self.status[request] = status
            self.done[request] = time.perf_counter_ns()
            self.busy -= 1
        elif connection in self.idle:
            self.idle.remove(connection)
        self.drop(connection)
        self.serve_waiting()

    def drop(self, connection: Connection) -> None:
        del self.by_descriptor[connection.socket.fileno()]
        connection.socket.close()  # epoll forgets it with that

    def serve_waiting(self) -> None:
        if self.waiting and len(self.by_descriptor) < self.limit:
            self.fire(self.waiting.popleft())

    def sweep(self) -> None:
        """Give up what has waited too long."""
        now = time.perf_counter_ns()
        if now - self.swept < SWEEP_S * 1e9:
            return
        self.swept = now
        for connection in list(self.by_descriptor.values()):
            if connection.request >= 0 and now - connection.since > self.timeout_ns:
                self.fail(connection, TIMEOUT)
        while self.waiting and now - self.fired[self.waiting[0]] > self.timeout_ns:
            request = self.waiting.popleft()
            self.status[request], self.done[request] = TIMEOUT, now
