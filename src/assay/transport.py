"""How a request reaches a server and an answer is read: JSON over HTTP in the tool's dialect, or V2 over gRPC."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import urllib.parse
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol

import numpy

from assay import load

MOST_CONNECTIONS = 4096


class TransportError(ValueError):
    """The endpoint cannot be reached this way."""


class Loader(Protocol):
    """A generator of one transport; see `assay.load.Generator`."""

    order: Any

    def open_loop(self, moments: Any, payloads: Any, on_start: Any, start: int = 0) -> load.Log: ...

    def closed_loop(self, concurrency: int, seconds: float, payloads: Any) -> load.Log: ...

    def close(self) -> None: ...


class Transport(Protocol):
    """One endpoint, with a request for each of the payloads it was made for."""

    requests: list[bytes]  # as they go over the wire

    def listens(self, timeout_s: float) -> None:
        """Connect and disconnect. Raises OSError."""
        ...

    def ask(self, payload: int, timeout_s: float) -> tuple[int, bytes]:
        """One request now: status and body. Raises OSError or http.client.HTTPException."""
        ...

    def decode(self, body: bytes) -> numpy.ndarray:
        """The predictions in a body, flat. Raises ValueError where there are none."""
        ...

    def generator(self, bodies: BinaryIO, limit: int, timeout_s: float) -> Loader: ...


def transport(url: str, request: str, response: str, headers: Mapping[str, str], payloads: numpy.ndarray) -> Transport:
    """For an endpoint; `payloads` has the shape (requests, rows, ...). Raises TransportError."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "http" and parts.hostname:
        return Rest(parts, Codec(request, response), headers, payloads)
    if parts.scheme == "grpc" and parts.hostname and parts.port:
        from assay.grpc import Grpc

        return Grpc(parts.hostname, parts.port, parts.path.strip("/"), payloads)
    if parts.scheme == "torchserve" and parts.hostname and parts.port:
        from assay.grpc import TorchServe

        return TorchServe(parts.hostname, parts.port, parts.path.strip("/"), Codec(request, response), payloads)
    raise TransportError(f"{url}: only http://host[:port]/path and grpc://host:port/model can be loaded")


class Codec:
    """Tensors to JSON bodies and back, in an endpoint's dialect; see `benchmarks.contract.Dialect`."""

    def __init__(self, request: str, response: str) -> None:
        self.request, self.path = request, [part for part in response.split(".") if part]

    def encode(self, rows: numpy.ndarray) -> bytes:
        """An array of shape (rows, ...) as a request's body."""
        text = self.request.replace("$shape", json.dumps(rows.shape))
        text = text.replace("$rows", json.dumps(rows.tolist()))
        return text.replace("$flat", json.dumps(rows.ravel().tolist())).encode()

    def decode(self, body: bytes) -> numpy.ndarray:
        """The predictions in a response, flat. Raises ValueError where there are none."""
        found = json.loads(body)
        try:
            for part in self.path:
                found = found[int(part)] if isinstance(found, list) else found[part]
            return numpy.asarray(found, dtype=numpy.float64).ravel()
        except (KeyError, IndexError, TypeError) as fault:
            raise ValueError(f"no predictions at {'.'.join(self.path)!r}") from fault


class Rest:
    """HTTP/1.1 with keep-alive."""

    def __init__(
        self, url: urllib.parse.SplitResult, codec: Codec, headers: Mapping[str, str], payloads: numpy.ndarray
    ) -> None:
        assert url.hostname
        self.host, self.port, self.codec = url.hostname, url.port or 80, codec
        self.path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self.headers = {"Content-Type": "application/json", **headers}
        self.requests = [self.message(codec.encode(rows)) for rows in payloads]
        self.address = ""  # that the host's name led to

    def message(self, body: bytes) -> bytes:
        host = f"[{self.host}]" if ":" in self.host else self.host
        headers = {"Host": f"{host}:{self.port}", "Content-Length": str(len(body)), **self.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def listens(self, timeout_s: float) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.connect()
        finally:
            connection.close()

    def ask(self, payload: int, timeout_s: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            body = self.requests[payload].partition(b"\r\n\r\n")[2]
            connection.request("POST", self.path, body, self.headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def decode(self, body: bytes) -> numpy.ndarray:
        return self.codec.decode(body)

    def generator(self, bodies: BinaryIO, limit: int, timeout_s: float) -> load.Generator:
        if not self.address:
            # Once, and not for each connection: asking for a name takes its time.
            with (
                contextlib.suppress(OSError),
                socket.create_connection((self.host, self.port), timeout_s) as connection,
            ):
                self.address = connection.getpeername()[0]
        return load.Generator(self.address or self.host, self.port, self.requests, bodies, limit, timeout_s)
