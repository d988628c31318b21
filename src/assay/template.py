"""The file of a new tool: complete and checked, with the places to fill in marked by <...>."""

from __future__ import annotations

import datetime
import keyword
from pathlib import Path

from assay.errors import UsageError

HEADER = """\
# /// script
# requires-python = ">=3.11"
# dependencies = [{pins}]  # <add the tool's package, pinned with ==>
#
# [tool.uv]
# exclude-newer = "{date}T00:00:00Z"
#
# [tool.assay]
# title = "{name}"
# homepage = "<https://...>"
# devices = ["cpu"]
# ///
"""

TRAIN = '''\
"""{name}: <one line that says how it launches ranks>."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.contract import RankLog, Training, Unsupported


def train(job: Training) -> Iterable[RankLog]:
    """<Launch `job.workers` ranks the way the tool's documentation recommends; call `job.run(rank)` in each.>

    `job.run(rank, prepare)` is assay's loop and clock. `prepare(model, optimizer)` returns a step: wrap the
    model or the optimizer in it, as benchmarks/tools/torch_ddp.py and horovod.py do. What `train` returns are
    the logs of all ranks; where a launcher brings nothing back, ranks call `job.deliver(log)` and `train`
    returns `job.collect()`.
    """
    if job.workers != 1:
        raise Unsupported("<launch more than one rank>")
    yield job.run(rank=0)
'''

SERVE = '''\
"""{name}: <one line that says how it serves>."""

import contextlib
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.contract import V1, Endpoint, Serving


@contextlib.contextmanager
def serve(job: Serving) -> Iterator[Endpoint]:
    """<Start the server the way the tool's documentation recommends; V1 or V2 is its JSON, or a Dialect of its own.>"""
    with job.start([sys.executable, "-m", __name__]) as server:
        yield Endpoint(f"http://{{job.host}}:{{job.port}}/predict", V1, process=server)


def main() -> None:
    """<What the server's process does: load the model, bind job.host and job.port, answer.>"""
    job = Serving.from_environment()
    predict = job.predictor()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
            body = json.dumps({{"predictions": predict(rows).tolist()}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer((job.host, job.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
'''

INFER = '''\
"""{name}: <one line that says how it brings a data set through a model>."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from benchmarks.contract import Inference
from benchmarks.tools import single_process


@contextlib.contextmanager
def infer(job: Inference) -> Iterator[Callable[[str], None]]:
    """<Start what a pass needs; yield a function that reads `job.source` and writes parquet into a folder.>

    The columns to read are `row` and `x`, those to write `row` and `y`; benchmarks/tools/spark.py is an example.
    """
    yield single_process.passes(job, job.predictor())
'''

PROBE = '''\
"""{name}: <one line that says what of it is asked>."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contract import Probing


class States:
    """<The verbs of a Protocol in benchmarks/probes.py, in the tool's own calls; this one is `Versions`.>"""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def keep(self, content: bytes) -> str:
        self.count += 1
        (self.folder / f"state-{{self.count}}").write_bytes(content)
        return str(self.count)

    def fetch(self, state: str) -> bytes:
        return (self.folder / f"state-{{state}}").read_bytes()


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    """<Start what is needed, give the subjects by name; Declined("...") for what the tool has not.>"""
    yield {{"version": States(Path(job.scratch))}}
'''

WITH_MODEL = '"pyarrow==26.0.1", "torch==2.13.0", "numpy==2.4.6"'
BODIES = {"train": TRAIN, "serve": SERVE, "infer": INFER, "probe": PROBE}


def write(name: str, folder: Path, capability: str = "train") -> Path:
    """Write `folder/name.py`. Raises UsageError where the name cannot be a module's or is taken."""
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise UsageError(f"{name!r} cannot name a tool: use lower-case letters, digits and _, as in my_tool")
    path = folder / f"{name}.py"
    if path.exists():
        raise UsageError(f"{path} exists already")
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    text = HEADER + BODIES[capability]
    pins = "" if capability == "probe" else WITH_MODEL
    date = datetime.datetime.now(datetime.UTC).date()
    path.write_text(text.format(name=name, date=date, pins=pins), encoding="utf-8")
    return path
