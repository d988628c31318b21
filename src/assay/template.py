"""The file of a new tool: complete and checked, with the places to fill in marked by <...>."""

from __future__ import annotations

import datetime
import keyword
from pathlib import Path

from assay.errors import UsageError

TEXT = '''\
# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.0", "numpy==2.4.6"]  # <add the tool's package, pinned with ==>
#
# [tool.uv]
# exclude-newer = "{date}T00:00:00Z"
#
# [tool.assay]
# title = "{name}"
# homepage = "<https://...>"
# devices = ["cpu"]
# ///
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


def write(name: str, folder: Path) -> Path:
    """Write `folder/name.py`. Raises UsageError where the name cannot be a module's or is taken."""
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise UsageError(f"{name!r} cannot name a tool: use lower-case letters, digits and _, as in my_tool")
    path = folder / f"{name}.py"
    if path.exists():
        raise UsageError(f"{path} exists already")
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    path.write_text(TEXT.format(name=name, date=datetime.datetime.now(datetime.UTC).date()), encoding="utf-8")
    return path
