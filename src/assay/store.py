"""Parquet: a trial's files while a run lasts, the sealed tables after it, and one way to query both.

Sealed files are written once under another name, renamed, and never edited. Columns are only added; the
schema's number stands in each file's metadata. Cells hold primitives.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy
import pyarrow as pa
import pyarrow.parquet as pq

from assay.errors import StoreError
from assay.journal import Journal
from assay.schema import (
    ENVIRONMENTS,
    LOADS,
    ONLY_SERVING,
    RAW,
    REQUESTS,
    RUNS,
    SAMPLES,
    SCHEMA,
    SCHEMA_KEY,
    TABLES,
    TRIALS,
    text,
)

if TYPE_CHECKING:
    import duckdb

    from assay.load import Log

ROW_KEY = b"assay_trial"
LOADS_KEY = b"assay_loads"
FLUSH_ROWS = 100_000  # rows held in memory before they go to disk
# Of a query, in MiB: an exact median holds its values. Sixteen times the raw files, which are that much compressed.
LEAST_MEMORY, MOST_MEMORY, EXPANDED = 192, 768, 16


class TrialFile:
    """Samples of one trial as they arrive, and at the end the trial's row in the file's metadata."""

    def __init__(self, path: Path, trial: int) -> None:
        self.path, self.trial = path, trial
        self.partial = path.with_suffix(".partial")
        self.writer = sample_writer(self.partial)
        self.batches: list[pa.Table] = []
        self.rows = 0

    def __enter__(self) -> TrialFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        self.partial.unlink(missing_ok=True)

    def add(
        self,
        rank: int,
        metric: str,
        unit: str,
        phase: str,
        start: int,
        at_ns: Sequence[int],
        values: Sequence[float],
    ) -> None:
        """Samples `start`, `start` + 1, ... of one metric of one rank; `at_ns` may be empty."""
        count = len(values)

        def constant(value: Any, kind: pa.DataType) -> pa.Array:
            if pa.types.is_dictionary(kind):
                return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), [value])
            return pa.repeat(pa.scalar(value, kind), count)

        columns = [
            constant(self.trial, pa.int32()),
            constant(rank, pa.int16()),
            pa.array(numpy.arange(start, start + count, dtype=numpy.int32)),
            constant(metric, text),
            constant(unit, text),
            constant(phase, text),
            # By way of numpy, which reads a list of numbers faster than pyarrow does.
            pa.array(numpy.array(at_ns, dtype=numpy.int64)) if at_ns else pa.nulls(count, pa.int64()),
            pa.array(numpy.array(values, dtype=numpy.float64)),
        ]
        self.batches.append(pa.table(columns, schema=SAMPLES))
        self.rows += count
        if self.rows >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        if self.batches:
            self.writer.write_table(pa.concat_tables(self.batches).unify_dictionaries())
            self.batches, self.rows = [], 0

    def finish(self, row: dict[str, Any], loads: Sequence[dict[str, Any]] = ()) -> None:
        """Write the rest, put the row beside the samples, and give the file its name."""
        self.flush()
        self.writer.add_key_value_metadata(
            {ROW_KEY: json.dumps(row).encode(), LOADS_KEY: json.dumps(list(loads)).encode()}
        )
        self.writer.close()
        self.partial.replace(self.path)


def sample_writer(path: Path) -> pq.ParquetWriter:
    # Stamps grow by nearly equal steps: delta coding. Values of one metric share their high bytes: split them.
    return pq.ParquetWriter(
        path,
        SAMPLES.with_metadata({SCHEMA_KEY: str(SCHEMA).encode()}),
        compression="zstd",
        use_dictionary=["metric", "unit", "phase"],
        column_encoding={
            "trial": "DELTA_BINARY_PACKED",
            "rank": "DELTA_BINARY_PACKED",
            "index": "DELTA_BINARY_PACKED",
            "at_ns": "DELTA_BINARY_PACKED",
            "value": "BYTE_STREAM_SPLIT",
        },
    )


def requests_path(path: Path) -> Path:
    """Where the requests of the trial in `path` lie."""
    return path.with_suffix(".requests")


def request_writer(path: Path) -> pq.ParquetWriter:
    stamps = ("scheduled_ns", "fired_ns", "sent_ns", "done_ns")
    return pq.ParquetWriter(
        path,
        REQUESTS.with_metadata({SCHEMA_KEY: str(SCHEMA).encode()}),
        compression="zstd",
        use_dictionary=["status", "right"],
        column_encoding=dict.fromkeys(("trial", "load", "index", *stamps, "size", "payload"), "DELTA_BINARY_PACKED"),
    )


def request_table(trial: int, number: int, log: Log, verdicts: Mapping[int, bool]) -> pa.Table:
    """The requests of one load."""
    count = len(log)
    verdict = numpy.zeros(count, dtype=bool)
    judged = numpy.zeros(count, dtype=bool)
    judged[list(verdicts)] = True
    verdict[[request for request, value in verdicts.items() if value]] = True

    def moments(values: numpy.ndarray) -> pa.Array:
        return pa.array(values, pa.int64(), mask=values == 0)

    columns = [
        pa.repeat(pa.scalar(trial, pa.int32()), count),
        pa.repeat(pa.scalar(number, pa.int16()), count),
        pa.array(numpy.arange(count, dtype=numpy.int32)),
        pa.array(log.payload.astype(numpy.int16)),
        pa.array(log.scheduled, pa.int64()),
        moments(log.fired),
        moments(log.sent),
        moments(log.done),
        pa.array(log.status.astype(numpy.int16)),
        pa.array(log.size.astype(numpy.int32)),
        pa.array(verdict, mask=~judged),
    ]
    return pa.table(columns, schema=REQUESTS)


def trial_row(path: Path) -> dict[str, Any]:
    """The row in a trial file's metadata."""
    return dict(metadata(path, ROW_KEY))


def trial_loads(path: Path) -> list[dict[str, Any]]:
    """The loads of a trial; files of older schemas have none."""
    return list(metadata(path, LOADS_KEY, b"[]"))


def metadata(path: Path, key: bytes, default: bytes | None = None) -> Any:
    try:
        found = pq.read_metadata(path).metadata or {}
        return json.loads(found[key] if default is None else found.get(key, default))
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as fault:
        raise StoreError(f"{path}: not a trial's file: {fault}") from fault


def run_rows(journal: Journal) -> Iterator[dict[str, Any]]:
    """A run's rows, one a scenario."""
    header = journal.header()
    inputs = journal.read("inputs") if journal.has("inputs") else {}
    for scenario in header.pop("scenarios"):
        name = scenario["scenario"]
        yield {**header, **scenario, "inputs": json.dumps(inputs.get(name, {}))}


def environment_rows(journal: Journal) -> list[dict[str, Any]]:
    return list(journal.read("environments")) if journal.has("environments") else []


def seal(journal: Journal, results: Path, sealed_utc: str) -> list[Path]:
    """Write the run's tables; `runs` last, because a run counts from the moment that its row is there."""
    names = [entry.name for entry in journal.entries()]
    rows = [trial_row(journal.path(name)) for name in names]
    loads = [load for name in names for load in trial_loads(journal.path(name))]
    tables = {
        **({"loads": table(loads, LOADS)} if loads else {}),
        "environments": table(environment_rows(journal), ENVIRONMENTS),
        "trials": table(rows, TRIALS),
        "runs": table([{**row, "sealed_utc": sealed_utc} for row in run_rows(journal)], RUNS),
    }
    kept = [name for name in TABLES if loads or name not in ONLY_SERVING]
    paths = {name: results / name / f"{journal.run}.parquet" for name in kept}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    files = [journal.path(name) for name in names]
    gather(files, paths["samples"], sample_writer, SAMPLES)
    if loads:
        asked = [requests_path(path) for path in files if requests_path(path).exists()]
        gather(asked, paths["requests"], request_writer, REQUESTS)
    for name, rows_table in tables.items():
        partial = paths[name].with_suffix(".partial")
        pq.write_table(rows_table, partial, compression="zstd")
        partial.replace(paths[name])
    return list(paths.values())


def gather(files: Iterable[Path], target: Path, writer: Callable[[Path], pq.ParquetWriter], schema: pa.Schema) -> None:
    """Many files of raw rows as one."""
    partial = target.with_suffix(".partial")
    with writer(partial) as whole:
        for group in gathered(files, schema):
            whole.write_table(group)
    partial.replace(target)


def gathered(files: Iterable[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of many small files in groups of some 100,000: small groups compress badly."""
    held: list[pa.Table] = []
    for path in files:
        # Read as plain text columns: dictionaries of different files differ.
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            held.append(file.read_row_group(group).cast(schema))
            if sum(map(len, held)) >= FLUSH_ROWS:
                yield pa.concat_tables(held).unify_dictionaries()
                held = []
    if held:
        yield pa.concat_tables(held).unify_dictionaries()


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of the schema; keys that a row lacks are null, keys that the schema lacks are a fault."""
    known = set(schema.names)
    for row in rows:
        if unknown := row.keys() - known:
            raise StoreError(f"no column for {', '.join(sorted(unknown))}")
    return pa.Table.from_pylist(rows, schema=schema.with_metadata({SCHEMA_KEY: str(SCHEMA).encode()}))


@dataclasses.dataclass(frozen=True, slots=True)
class Archive:
    """The sealed runs of a results folder, and what in it could not be used."""

    results: Path
    runs: list[str]  # oldest first
    faults: list[str]  # file and reason, a line each


def survey(results: Path) -> Archive:
    """Which runs can be read. A corrupt, foreign or incomplete one is named, never touched."""
    runs, faults = [], []
    for path in sorted((results / "runs").glob("*.parquet")):
        found = [
            fault(results / name / path.name, schema)
            for name, schema in TABLES.items()
            if name not in ONLY_SERVING or (results / name / path.name).exists()
        ]
        if problems := [problem for problem in found if problem]:
            faults += problems
        else:
            runs.append(path.stem)
    for name in TABLES:
        for path in sorted((results / name).glob("*.parquet")):
            if not (results / "runs" / path.name).exists():
                faults.append(f"{path}: no run of that name in {results / 'runs'}; skipped")
    return Archive(results, runs, faults)


def fault(path: Path, schema: pa.Schema) -> str | None:
    """Why a sealed file cannot be used, or None."""
    try:
        found = pq.read_schema(path)
    except FileNotFoundError:
        return f"{path}: missing; its run is skipped"
    except (OSError, pa.ArrowInvalid) as error:
        return f"{path}: not a parquet file ({error}); its run is skipped"
    number = (found.metadata or {}).get(SCHEMA_KEY)
    if number is None:
        return f"{path}: not written by assay; skipped"
    if int(number) > SCHEMA:
        return f"{path}: schema {int(number)} is newer than {SCHEMA}, update assay; its run is skipped"
    if missing := sorted(set(schema.names) - set(found.names)) if int(number) == SCHEMA else []:
        return f"{path}: lacks the columns {', '.join(missing)}; its run is skipped"
    return None


@contextlib.contextmanager
def query(archive: Archive | None, journal: Journal | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with a view a table, over sealed runs and an open one.

    Samples and requests carry their run's name as `run`.
    """
    import duckdb

    raw = [archive.results / name / f"{run}.parquet" for run in archive.runs for name in RAW] if archive else []
    needed = EXPANDED * sum(path.stat().st_size for path in raw if path.exists()) // 2**20
    memory = f"{min(MOST_MEMORY, max(LEAST_MEMORY, needed))}MiB"
    connection = duckdb.connect(config={"memory_limit": memory, "preserve_insertion_order": False})
    try:
        for name, schema in TABLES.items():
            parts = [f"SELECT * FROM empty_{name}"]
            key = schema if name not in RAW else schema.insert(0, pa.field("run", pa.string()))
            connection.register(f"empty_{name}", key.empty_table())
            paths = [archive.results / name / f"{run}.parquet" for run in archive.runs] if archive else []
            files = [str(path) for path in paths if name not in ONLY_SERVING or path.exists()]
            if files:
                if name in RAW:
                    stem = "parse_filename(filename, true)"
                    parts.append(
                        f"SELECT {stem} AS run, * EXCLUDE (filename) FROM read_parquet({files!r}, filename=true)"
                    )
                else:
                    parts.append(f"SELECT * FROM read_parquet({files!r}, union_by_name=true)")
            if journal:
                parts.append(open_part(connection, journal, name))
            connection.execute(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join(parts)}")
        yield connection
    except duckdb.Error as fault:
        raise StoreError(f"{archive.results if archive else journal}: a stored file cannot be read: {fault}") from fault
    finally:
        connection.close()


def open_part(connection: duckdb.DuckDBPyConnection, journal: Journal, name: str) -> str:
    """The query for one table of a run that is not sealed yet."""
    files = [journal.path(entry.name) for entry in journal.entries()]
    if name in RAW:
        raw = files if name == "samples" else [path for path in map(requests_path, files) if path.exists()]
        if not raw:
            return f"SELECT * FROM empty_{name}"
        return f"SELECT '{journal.run}' AS run, * FROM read_parquet({list(map(str, raw))!r})"
    rows = {
        "runs": lambda: list(run_rows(journal)),
        "environments": lambda: environment_rows(journal),
        "trials": lambda: [trial_row(path) for path in files],
        "loads": lambda: [load for path in files for load in trial_loads(path)],
    }[name]()
    connection.register(f"open_{name}", table(rows, TABLES[name]))
    return f"SELECT * FROM open_{name}"
