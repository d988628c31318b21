"""What runs measured, by case: the numbers that figures, tables and sentences are made of.

Read from parquet by DuckDB; only results come into Python, never raw samples.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay import steady
from assay.errors import UsageError

if TYPE_CHECKING:
    import duckdb


@dataclasses.dataclass(frozen=True, slots=True)
class Metric:
    """A number a trial: how it is named, shown and compared."""

    key: str
    title: str
    unit: str


THROUGHPUT = Metric("throughput", "Throughput", "samples/s")
STEP_TIME = Metric("step_ms", "Step time, median of the slowest rank", "ms")
FIRST_STEP = Metric("first_step_s", "From the call to the first step, or pass, done", "s")
TOTAL = Metric("total_s", "Whole job, spawn to last process gone", "s")
TARGET = Metric("target_s", "Time to target quality, from the loop's start", "s")
CPU = Metric("cpu_per_1000", "CPU of the ranks per 1,000 samples", "s")
PSS = Metric("pss_mib", "Peak memory of the tree (PSS)", "MiB")
RSS = Metric("rss_mib", "Peak memory of the tree (RSS)", "MiB")
CPU_ENERGY = Metric("cpu_energy_j", "Energy of the CPU packages, whole trial", "J")
GPU_ENERGY = Metric("gpu_energy_j", "Energy of the GPUs, whole trial", "J")
METRICS = (THROUGHPUT, STEP_TIME, FIRST_STEP, TOTAL, TARGET, CPU, PSS, RSS, CPU_ENERGY, GPU_ENERGY)


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """All trials of one case in one run, in order of execution; of a repeated trial the last attempt."""

    label: str
    tool: str
    device: str
    workers: int
    control: bool
    rows: list[dict[str, Any]]

    @property
    def name(self) -> str:
        return f"{self.label} ×{self.workers}"

    def ok(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["outcome"] == "ok"]

    @property
    def unsteady(self) -> bool:
        """Whether most windows slowed down or never became steady (M30)."""
        right = self.ok()
        return sum(row["window"] in steady.UNSTEADY for row in right) > len(right) / 2

    def values(self, metric: Metric) -> dict[int, float]:
        """Block to value, of right answers that have one."""
        return {row["block"]: row[metric.key] for row in self.ok() if row.get(metric.key)}


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """A scenario as one run measured it."""

    name: str
    text: dict[str, Any]  # the scenario's TOML as read
    run: dict[str, Any]  # the row of `runs`
    cases: list[Case]
    rejected: int  # attempts that the noise gate rejected

    def case(self, label: str, device: str, workers: int, control: bool = False) -> Case | None:
        for one in self.cases:
            if (one.label, one.device, one.workers, one.control) == (label, device, workers, control):
                return one
        return None

    @property
    def infers(self) -> bool:
        return bool(self.text["capability"] == "infer")

    @property
    def serves(self) -> bool:
        return bool(self.text["capability"] == "serve")

    @property
    def probes(self) -> bool:
        return bool(self.text["capability"] == "probe")

    @property
    def devices(self) -> list[str]:
        return sorted({case.device for case in self.cases})

    @property
    def baseline(self) -> str | None:
        name: str | None = self.text.get("measure", {}).get("baseline")
        return name

    @property
    def control(self) -> str | None:
        name: str | None = self.run.get("control") or self.text.get("measure", {}).get("control")
        return name

    @property
    def adaptive(self) -> dict[str, int] | None:
        """Least and most blocks, where the run could stop by itself."""
        planned = json.loads(self.run.get("blocks") or "{}").get("blocks")
        return planned if isinstance(planned, dict) else None

    def workers(self, device: str) -> list[int]:
        return sorted({case.workers for case in self.cases if case.device == device})


TRIALS = """
SELECT
    * EXCLUDE (window_ns, samples),
    samples / window_ns * 1e9 AS throughput,
    first_step_ns / 1e9 AS first_step_s,
    wall_ns / 1e9 AS total_s,
    time_to_target_ns / 1e9 AS target_s,
    window_cpu_s / samples * 1000 AS cpu_per_1000,
    peak_pss / 1048576 AS pss_mib,
    peak_rss / 1048576 AS rss_mib,
    steps.step_ms
FROM trials LEFT JOIN (
    SELECT run, trial, median(slowest) / 1e6 AS step_ms FROM (
        SELECT run, trial, "index", max("value") AS slowest FROM samples
        WHERE metric = 'step_time' AND run IN (SELECT unnest($runs)) GROUP BY ALL
    ) GROUP BY ALL
) AS steps USING (run, trial)
WHERE kind = 'trial' AND run IN (SELECT unnest($runs))
QUALIFY row_number() OVER (
    PARTITION BY run, scenario, label, device, workers, block ORDER BY attempt DESC
) = 1
ORDER BY trial % 1000000
"""


# The slowest rank's step times in order, as means of neighbours where a window has very many.
WINDOWS = """
SELECT run, trial, list(slowest ORDER BY part) AS times FROM (
    SELECT run, trial, ("index" - first) // ((steps + $most - 1) // $most) AS part, avg(slowest) AS slowest FROM (
        SELECT run, trial, "index", max("value") AS slowest FROM samples
        WHERE metric = 'step_time' AND run IN (SELECT unnest($runs)) GROUP BY ALL
    ) JOIN (
        SELECT run, trial, min("index") AS first, max("index") - min("index") + 1 AS steps FROM samples
        WHERE metric = 'step_time' AND run IN (SELECT unnest($runs)) GROUP BY ALL
    ) USING (run, trial) GROUP BY ALL
) GROUP BY ALL
"""
MOST_PARTS = 500


# A run of some tools, devices or workers alone does not stand for the scenario.
WHOLE = "NOT regexp_matches(argv, '--(tool|device|workers)\\b')"


def strongest(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Of every scenario the run that its claims rest on: whole before a selection, verdicts before none, then newer."""
    rows = connection.execute(
        "SELECT scenario, run FROM runs QUALIFY row_number() OVER (PARTITION BY scenario ORDER BY "
        f"profile <> 'smoke' DESC, {WHOLE} DESC, profile IN ('standard', 'full') DESC, run DESC) = 1"
    ).fetchall()
    return dict(rows)


def newest(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Of every scenario the newest whole run that has it; a smoke run only where there is no other."""
    rows = connection.execute(
        f"SELECT DISTINCT last_value(run) OVER (PARTITION BY scenario ORDER BY profile <> 'smoke', {WHOLE}, run "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM runs ORDER BY 1"
    ).fetchall()
    return [run for (run,) in rows]


def questions(connection: duckdb.DuckDBPyConnection, runs: Sequence[str]) -> list[Question]:
    """The scenarios of the runs, each as its newest of them measured it. Raises UsageError for an unknown run."""
    import tomllib

    # A smoke run's figures stand in for others only where there are none.
    listed = dicts(connection, "SELECT * FROM runs ORDER BY profile <> 'smoke', run, scenario")
    if unknown := set(runs) - {row["run"] for row in listed}:
        raise UsageError(f"no run {', '.join(sorted(unknown))} in results; see assay list runs")
    rows = dicts(connection, TRIALS, {"runs": list(runs)})
    windows = {
        (one["run"], one["trial"]): steady.classify(one["times"])
        for one in dicts(connection, WINDOWS, {"runs": list(runs), "most": MOST_PARTS})
    }
    for row in rows:
        row["window"] = windows.get((row["run"], row["trial"]))
    rejected = (
        dict(
            connection.execute(
                "SELECT (run, scenario), count(*) FROM trials WHERE codes = 'NOISE' GROUP BY 1"
            ).fetchall()
        )
        if runs
        else {}
    )
    found: dict[str, Question] = {}
    for run in listed:
        if run["run"] not in runs:
            continue
        own = [row for row in rows if (row["run"], row["scenario"]) == (run["run"], run["scenario"])]
        cases: dict[tuple[Any, ...], Case] = {}
        for row in own:
            identity = (row["label"], row["device"], row["workers"], row["control"])
            case = cases.setdefault(
                identity, Case(row["label"], row["tool"], row["device"], row["workers"], row["control"], [])
            )
            case.rows.append(row)
        found[run["scenario"]] = Question(
            name=run["scenario"],
            text=tomllib.loads(run["scenario_text"]),
            run=run,
            cases=[cases[key] for key in sorted(cases, key=lambda key: (key[1], key[2], key[0]))],
            rejected=rejected.get((run["run"], run["scenario"]), 0),
        )
    return list(found.values())


def quality_traces(
    connection: duckdb.DuckDBPyConnection, question: Question
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """By device and case name, the quality of rank 0 over seconds from the loop's start, of the first right trial."""
    found = {}
    for case in question.cases:
        for row in case.ok()[:1]:
            points = connection.execute(
                "SELECT at_ns, \"value\" FROM samples WHERE run = ? AND trial = ? AND metric = 'quality' AND rank = 0 "
                'ORDER BY "index"',
                [row["run"], row["trial"]],
            ).fetchall()
            reached = next((at for at, value in points if value >= row["target"]), None) if row["target"] else None
            if points and reached and row["time_to_target_ns"]:
                start = reached - row["time_to_target_ns"]
                found[case.device, case.name] = [((at - start) / 1e9, value) for at, value in points]
    return found


def environments(connection: duckdb.DuckDBPyConnection, runs: Sequence[str]) -> list[dict[str, Any]]:
    """A row a tool: outcome, Python, build time, size, packages as [name, version, license]."""
    return dicts(
        connection,
        "SELECT run, tool, any_value(outcome) AS outcome, any_value(error) AS error, any_value(remedy) AS remedy, "
        "any_value(python) AS python, any_value(digest) AS digest, any_value(build_s) AS build_s, "
        "any_value(size_bytes) AS size_bytes, "
        'list([package, "version", license] ORDER BY package) FILTER (package IS NOT NULL) AS packages '
        "FROM environments WHERE run IN (SELECT unnest($runs)) GROUP BY run, tool ORDER BY run, tool",
        {"runs": list(runs)},
    )


def dicts(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    cursor = connection.execute(query, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def roles(row: dict[str, Any], column: str) -> dict[str, int]:
    """Bytes by role at the peak."""
    return dict(json.loads(row[column] or "{}"))
