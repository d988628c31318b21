"""The files that every tool of a scenario is given, made once and kept by the digest of what makes them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay import plan, runner, scenario, trial, wire
from assay.errors import UsageError
from assay.scenario import Scenario
from assay.selection import Layout

INFER_ROWS = 8  # a payload: 2,048 distinct rows, of which a data set is drawn


@dataclasses.dataclass(frozen=True, slots=True)
class Inputs:
    """A scenario's files, and the workload's options with defaults filled in."""

    options: dict[str, Any]
    files: Path
    digests: dict[str, str]  # file to sha256
    key: str


def make(one: Scenario, layout: Layout, run: str, say: Callable[[str], None]) -> Inputs:
    """Data, initial weights and order of rows, in the harness's own environment.

    Raises UsageError with the workload's own message where they cannot be made.
    """
    makers = [layout.root / "benchmarks/inputs.py", *sorted(layout.workloads.glob("*.py"))]
    code = digest_of(makers)
    options = {**scenario.workload_options(layout.workloads / f"{one.workload.replace('-', '_')}.py"), **one.options}
    source = ""
    if "path" in options:
        file = (layout.root / str(options["path"])).resolve()
        options["path"] = str(file)
        source = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    key = plan.key(code=code, workload=one.workload, options=options, seed=one.seed, source=source)
    request = {"action": "inputs", "workload": one.workload, "options": options, "seed": one.seed}
    folder = layout.state / "inputs" / key
    if not folder.exists():
        say(f"{one.name}: making the inputs of {one.workload}")
        fill(folder, request, Path(sys.executable), layout.root, run, one)
    return read(folder, options, key)


def make_model(
    one: Scenario, given: Inputs, python: Path, layout: Layout, run: str, say: Callable[[str], None]
) -> Inputs:
    """The trained model, what it is asked and the golden predictions, in the baseline's environment.

    Raises UsageError where it cannot be made.
    """
    rows = one.load.rows if one.load else INFER_ROWS
    makers = [layout.root / f"benchmarks/{name}.py" for name in ("model", "loop")]
    second = bool(one.load and one.load.probes)
    key = plan.key(
        code=digest_of(makers),
        inputs=given.key,
        rows=rows,
        infer=one.infer.model_dump() if one.infer else None,
        second=second,
    )
    request = {
        "action": "model",
        "inputs": str(given.files),
        "workload": one.workload,
        "options": given.options,
        "seed": one.seed,
        "rows": rows,
        "second": second,
        "data_set": one.infer.rows if one.infer else 0,
        "parts": one.infer.parts if one.infer else 0,
    }
    folder = layout.state / "models" / key
    if not folder.exists():
        say(f"{one.name}: training the model and making its golden predictions")
        fill(folder, request, python, layout.root, run, one)
    return read(folder, given.options, key)


def digest_of(files: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def read(folder: Path, options: dict[str, Any], key: str) -> Inputs:
    return Inputs(options, folder / "files", json.loads((folder / "digests.json").read_text()), key)


def fill(folder: Path, request: dict[str, Any], python: Path, root: Path, run: str, one: Scenario) -> None:
    """Have a worker write the files; the folder gets its name when it is whole."""
    digests: dict[str, str] = {}

    def take(record: wire.Record) -> None:
        if isinstance(record, wire.Digests):
            digests.update(record.files)

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "files").mkdir(parents=True)
    with trial.scratch_folder() as scratch:
        ending = runner.run(
            runner.Launch(
                python=python,
                request={**request, "folder": str(partial / "files")},
                scratch=scratch,
                environment=runner.environment(python, scratch, [root], run, trial.THREADS),
            ),
            trial.limits(one),
            take,
            lambda phase: None,
        )
    if ending.outcome != "ok":
        shutil.rmtree(partial, ignore_errors=True)
        what = "inputs" if request["action"] == "inputs" else "model"
        raise UsageError(
            f"{one.name}: the {what} of {one.workload} cannot be made: {ending.error.removeprefix('ValueError: ')}"
        )
    (partial / "digests.json").write_text(json.dumps(digests))
    partial.rename(folder)
