# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "Serves"
# homepage = "https://example.org"
# devices = ["cpu"]
# settings = ["fault"]
# ///
"""A server on the standard library alone, honest or with the fault that its settings name."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from benchmarks.contract import JOB, V1, Endpoint, Serving

HONEST = 300  # answers before most faults show: readiness and the first check of all payloads need 257


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    variables = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])}
    with job.start([sys.executable, __file__], variables) as server:
        yield Endpoint(f"http://{job.host}:{job.port}/predict", V1, process=server)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fault = ""
    count = 0
    last: Any = None
    alone = threading.Lock()
    predictor: Any = None

    def do_POST(self) -> None:
        cls = type(self)
        cls.count += 1
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        answer = self.predictor(rows).tolist()
        late = cls.count > HONEST
        if self.fault == "never":
            self.send_error(503, "not yet")
            return
        if self.fault == "dies" and late:
            os._exit(3)
        if self.fault == "slow" and late:
            with self.alone:
                time.sleep(0.2)
        if self.fault == "closes" and late:
            self.close_connection = True
            return
        if self.fault == "garbage" and late:
            self.wfile.write(b"nothing that HTTP knows\r\n\r\n")
            self.close_connection = True
            return
        previous, cls.last = cls.last, answer
        if self.fault == "constant":
            cls.last = previous or answer
            answer = cls.last
        if (self.fault == "stale" and previous) or (self.fault == "turns" and late):
            answer = previous
        body = json.dumps({"predictions": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    job = Serving.from_environment()
    Handler.fault = str(job.settings.get("fault", ""))
    if Handler.fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Handler.predictor = staticmethod(job.predictor())
    ThreadingHTTPServer((job.host, job.port), Handler).serve_forever()


if __name__ == "__main__" and JOB in os.environ:
    main()
