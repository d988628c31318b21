"""A server of one thread that answers at once for `serve` seconds and then stands still for `stall`, again and again.

`python stalling.py PORT_FILE SERVE_S STALL_S DELAY_S`; with a stall of 0 it is the null server: a fixed answer, no
parsing beyond framing, after DELAY_S.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{"predictions":[[1]]}'


class Server(asyncio.Protocol):
    delay_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head = self.rest[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.rest) < end + 4 + length:
                return
            self.rest = self.rest[end + 4 + length :]
            if self.delay_s:
                time.sleep(self.delay_s)
            self.transport.write(ANSWER)  # type: ignore[attr-defined]


async def main() -> None:
    serve_s, stall_s, Server.delay_s = map(float, sys.argv[2:5])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1024)
    port = Path(sys.argv[1])
    partial = port.with_suffix(".partial")
    partial.write_text(str(server.sockets[0].getsockname()[1]))
    partial.rename(port)
    while True:
        await asyncio.sleep(serve_s)
        time.sleep(stall_s)


asyncio.run(main())
