"""Pages and gates: what passes, and what only seems to."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import interface, isolation
from benchmarks.contract import Probing
from benchmarks.interface import Gate, Pages, fetch

SERVER = """
import base64, http.server, sys
PORT, KIND = int(sys.argv[1]), sys.argv[2]


class Server(http.server.BaseHTTPRequestHandler):
    granted = False

    def do_GET(self):
        given = self.headers.get("Authorization", "")
        right = "Basic " + base64.b64encode(b"me:secret").decode()
        guest = "Basic " + base64.b64encode(b"guest:word").decode()
        if self.path == "/grant":
            Server.granted = True
        may = self.path == "/grant" or given == right or given == guest and (self.granted or KIND == "careless")
        if KIND in ("gated", "careless") and not may:
            return self.reply(403 if given == guest else 401, "")
        if self.path == "/ui.js" and KIND == "broken":
            return self.reply(404, "")
        self.reply(200, "made-here" if self.path == "/api" else '<html><script src="/ui.js"></script></html>')

    def reply(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", PORT), Server).serve_forever()
"""


@pytest.fixture
def job(tmp_path: Path) -> Probing:
    return Probing(scratch=str(tmp_path), seed=1, host="127.0.0.1", ports=tuple(isolation.free_ports("127.0.0.1", 1)))


@contextlib.contextmanager
def serving(job: Probing, kind: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with job.start([sys.executable, "-c", SERVER, str(job.ports[0]), kind]) as server:
        yield f"http://127.0.0.1:{job.ports[0]}", server


@pytest.mark.parametrize(
    ("kind", "made", "state"), [("open", "made-here", "passed"), ("open", "made-elsewhere", "failed")]
)
def test_pages_have_to_tell_of_what_was_made(job: Probing, kind: str, made: str, state: str) -> None:
    @contextlib.contextmanager
    def pages() -> Iterator[Pages]:
        with serving(job, kind) as (root, server):
            yield Pages(root, (made,), lambda: fetch(f"{root}/api"), server)

    (found,) = interface.pages(pages, job)

    assert (found.name, found.state) == ("ui", state)
    assert "1 scripts answer" in found.said


def test_a_page_whose_script_is_missing_is_no_page(job: Probing) -> None:
    @contextlib.contextmanager
    def pages() -> Iterator[Pages]:
        with serving(job, "broken") as (root, server):
            yield Pages(root, ("made-here",), lambda: fetch(f"{root}/api"), server)

    with pytest.raises(OSError, match="404"):
        list(interface.pages(pages, job))


@pytest.mark.parametrize(("kind", "state"), [("gated", "passed"), ("open", "failed"), ("careless", "failed")])
def test_a_gate_lets_in_who_has_a_right_and_no_one_else(job: Probing, kind: str, state: str) -> None:
    @contextlib.contextmanager
    def gate() -> Iterator[Gate]:
        with serving(job, kind) as (root, server):
            yield Gate(root, ("me", "secret"), lambda: ("guest", "word"), lambda: print(fetch(f"{root}/grant")), server)

    (found,) = interface.gate(gate, job)

    assert (found.name, found.state) == ("access", state), found.said


def test_a_server_that_ends_is_not_waited_for(job: Probing) -> None:
    ends = job.start([sys.executable, "-c", "raise SystemExit(3)"])
    with ends as server, pytest.raises(RuntimeError, match="exit code 3"):
        interface.wait("http://127.0.0.1:9", server)
