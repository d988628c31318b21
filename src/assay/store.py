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

if TYPE_CHECKING:
    import duckdb

    from assay.load import Log

SCHEMA = 2
SCHEMA_KEY = b"assay_schema"
ROW_KEY = b"assay_trial"
LOADS_KEY = b"assay_loads"
FLUSH_ROWS = 100_000  # rows held in memory before they go to disk
MEMORY = "192MiB"  # of a query; what needs more goes through a temporary file

text = pa.dictionary(pa.int32(), pa.string())

SAMPLES = pa.schema(
    [
        pa.field("trial", pa.int32(), nullable=False),  # joins trials.trial of the same run
        pa.field("rank", pa.int16(), nullable=False),  # -1: of the whole process tree
        pa.field("index", pa.int32(), nullable=False),  # step, or count of the metric's samples
        pa.field("metric", text, nullable=False),
        pa.field("unit", text, nullable=False),
        pa.field("phase", text, nullable=False),
        pa.field("at_ns", pa.int64()),  # monotonic clock of the rank's host; null where a value has no moment
        pa.field("value", pa.float64(), nullable=False),
    ]
)

ENVIRONMENTS = pa.schema(
    [
        pa.field("run", text),
        pa.field("tool", text),
        pa.field("outcome", text),
        pa.field("error", pa.string()),
        pa.field("remedy", pa.string()),
        pa.field("python", pa.string()),
        pa.field("digest", text),
        pa.field("build_s", pa.float64()),
        pa.field("size_bytes", pa.int64()),
        pa.field("package", pa.string()),  # null: the environment could not be made
        pa.field("version", pa.string()),
        pa.field("license", pa.string()),
    ]
)

RUNS = pa.schema(
    [
        pa.field("run", pa.string()),
        pa.field("started_utc", pa.string()),
        pa.field("assay", pa.string()),  # version
        pa.field("method_version", pa.int32()),
        pa.field("commit", pa.string()),  # null: not a git checkout
        pa.field("dirty", pa.bool_()),
        pa.field("profile", pa.string()),
        pa.field("seed", pa.int64()),
        pa.field("argv", pa.string()),  # JSON list
        pa.field("python", pa.string()),  # of --python; null: an environment a tool
        pa.field("noise_gate", pa.string()),  # JSON: limits in force
        pa.field("machine", pa.string()),  # JSON object: see assay.machine.facts
        pa.field("scenario", pa.string()),  # a row a scenario
        pa.field("scenario_text", pa.string()),
        pa.field("scenario_digest", pa.string()),
        pa.field("inputs", pa.string()),  # JSON object: file to sha256
        pa.field("sealed_utc", pa.string()),
    ]
)

TRIALS = pa.schema(
    [
        pa.field("run", text),
        pa.field("trial", pa.int32()),  # of one run: plan's index, plus a million a repeat; references after that
        pa.field("kind", text),  # trial or reference
        pa.field("scenario", text),
        pa.field("label", text),
        pa.field("tool", text),
        pa.field("settings", pa.string()),  # JSON object
        pa.field("device", text),
        pa.field("workers", pa.int16()),
        pa.field("batch", pa.int32()),  # rows of the global batch
        pa.field("window_steps", pa.int32()),
        pa.field("control", pa.bool_()),
        pa.field("address", pa.string()),  # of the cluster attached to
        pa.field("block", pa.int16()),
        pa.field("position", pa.int16()),
        pa.field("attempt", pa.int8()),  # 0, then repeats of a trial that the noise gate rejected
        pa.field("hash_seed", pa.int64()),
        pa.field("padding", pa.int32()),
        pa.field("environment", text),  # digest
        pa.field("started_utc", pa.string()),
        pa.field("outcome", text),
        pa.field("codes", pa.string()),  # of an invalid trial, separated by spaces
        pa.field("phase", text),  # in which it ended
        pa.field("error", pa.string()),
        pa.field("log_tail", pa.string()),
        pa.field("exit_code", pa.int32()),
        pa.field("survivors", pa.string()),  # JSON list of process names that had to be ended
        # Phases in order; they sum to wall_ns. Null where ranks were on another host or never got so far.
        pa.field("import_ns", pa.int64()),
        pa.field("launch_ns", pa.int64()),
        pa.field("warmup_ns", pa.int64()),
        pa.field("measure_ns", pa.int64()),
        pa.field("teardown_ns", pa.int64()),
        pa.field("wall_ns", pa.int64()),
        # From the tool's call to the first step done, and its parts.
        pa.field("first_step_ns", pa.int64()),
        pa.field("load_ns", pa.int64()),  # rank 0: torch, inputs and model
        pa.field("prepare_ns", pa.int64()),  # rank 0: the tool's own wrapping
        pa.field("window_ns", pa.int64()),  # latest window end minus earliest window start, over ranks
        pa.field("samples", pa.int64()),  # rows trained on in the window, by all ranks
        pa.field("target", pa.float64()),  # of quality
        pa.field("time_to_target_ns", pa.int64()),  # from a rank's entry; null: missed or not asked
        pa.field("loss_gap", pa.float64()),  # largest relative gap to the reference
        pa.field("weights", pa.string()),  # sha256 of rank 0's final weights
        pa.field("cpu_s", pa.float64()),  # whole tree, whole trial
        pa.field("cpu_method", text),
        pa.field("window_cpu_s", pa.float64()),  # rank processes, in the window
        pa.field("peak_rss", pa.int64()),
        pa.field("rss_by_role", pa.string()),  # JSON object: role to bytes at the peak
        pa.field("peak_pss", pa.int64()),
        pa.field("pss_by_role", pa.string()),
        pa.field("device_bytes", pa.int64()),  # torch's peak allocation, all ranks; null on CPU
        pa.field("sampler_cpu_s", pa.float64()),
        pa.field("applied", pa.string()),  # JSON: a list, one object a rank
        pa.field("facts", pa.string()),  # JSON: a list, one object a rank
        pa.field("kernel_ns", pa.float64()),  # noise probe before
        pa.field("kernel_cv", pa.float64()),  # the larger of before and after
        pa.field("kernel_drift", pa.float64()),
        pa.field("kernel_cpu_share", pa.float64()),  # the smaller of before and after
        pa.field("load", pa.float64()),  # one-minute average before
        pa.field("pressure_us", pa.int64()),  # during the trial some task waited for a core (PSI)
        # Serving. Moments count from the call of the tool (after package_ns), which is the cold start's zero.
        pa.field("package_ns", pa.int64()),  # making what the tool starts from
        pa.field("listening_ns", pa.int64()),  # a connection was accepted
        pa.field("answering_ns", pa.int64()),  # some HTTP answer came
        pa.field("ready_ns", pa.int64()),  # first correct prediction
        pa.field("dialect", pa.string()),  # request template and response path
        pa.field("exposed", pa.string()),  # why the host's network was shared; empty: a namespace of its own
        pa.field("cores", pa.string()),  # JSON object: of server and generator, as read back
        pa.field("slo_quantile", pa.float64()),
        pa.field("slo_within_ns", pa.int64()),
        pa.field("slo_low", pa.float64()),  # highest rate that passed; null: none did
        pa.field("slo_high", pa.float64()),  # lowest rate that failed; null: none did
    ]
)

LOADS = pa.schema(
    [
        pa.field("run", text),
        pa.field("trial", pa.int32()),
        pa.field("load", pa.int16()),  # in order of execution, from 0
        pa.field("kind", text),  # server, search, single_stream or offline
        pa.field("rate", pa.float64()),  # offered, requests/s; null: closed loop
        pa.field("arrivals", text),
        pa.field("seed", pa.int64()),  # of the schedule
        pa.field("concurrency", pa.int32()),  # of a closed loop
        pa.field("opens_ns", pa.int64()),  # the window, on the clock of the requests
        pa.field("closes_ns", pa.int64()),
        pa.field("scheduled", pa.int64()),  # counts are of the window
        pa.field("fired", pa.int64()),
        pa.field("completed", pa.int64()),
        pa.field("errors", pa.int64()),
        pa.field("errors_by_kind", pa.string()),  # JSON object
        pa.field("mismatches", pa.int64()),  # of the whole load
        pa.field("saturated", pa.bool_()),
        pa.field("codes", pa.string()),  # what makes it invalid
        pa.field("passed", pa.bool_()),  # of a search
        pa.field("lag_p99_ns", pa.int64()),
        pa.field("pool_wait_p99_ns", pa.int64()),
        pa.field("connections", pa.int32()),  # the most that were open
        pa.field("generator_cpu_share", pa.float64()),  # of one core
        pa.field("generator_cpu_us", pa.float64()),  # a request
        pa.field("server_cpu_s", pa.float64()),  # whole tree, in the window
        pa.field("request_bytes", pa.int64()),  # mean of a request with its headers
        pa.field("encode_us", pa.float64()),  # CPU of the generator to make a body and to read one: the codec's own
        pa.field("decode_us", pa.float64()),
    ]
)

REQUESTS = pa.schema(
    [
        pa.field("trial", pa.int32(), nullable=False),
        pa.field("load", pa.int16(), nullable=False),
        pa.field("index", pa.int32(), nullable=False),
        pa.field("payload", pa.int16(), nullable=False),
        pa.field("scheduled_ns", pa.int64(), nullable=False),
        pa.field("fired_ns", pa.int64()),
        pa.field("sent_ns", pa.int64()),
        pa.field("done_ns", pa.int64()),  # answered or given up
        pa.field("status", pa.int16(), nullable=False),  # of HTTP; below 1: assay.load.ERRORS
        pa.field("size", pa.int32(), nullable=False),  # bytes of the response's body
        pa.field("right", pa.bool_()),  # the golden prediction; null: no answer to compare
    ]
)

TABLES = {
    "runs": RUNS,
    "environments": ENVIRONMENTS,
    "trials": TRIALS,
    "samples": SAMPLES,
    "loads": LOADS,
    "requests": REQUESTS,
}
ONLY_SERVING = ("loads", "requests")  # a run that served nothing has no such files
RAW = ("samples", "requests")  # their run is their file's name


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

    connection = duckdb.connect(config={"memory_limit": MEMORY, "preserve_insertion_order": False})
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
