"""What serving runs measured, by case and load: read from parquet by DuckDB, never request by request."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

from assay import tails
from assay.measured import Case, Question, dicts

if TYPE_CHECKING:
    import duckdb

QUANTILES = (0.5, 0.9, 0.99)
# Probabilities at which a distribution is drawn: even on a nines axis.
SHAPE = tuple(round(1 - 10 ** (-step / 16), 6) for step in range(1, 49))

# Errors and timeouts rank above all responses (M46). Only the window counts.
REQUESTS = """
SELECT r.run, r.trial, r.load,
    CASE WHEN status = 200 THEN (done_ns - r.scheduled_ns) / 1e6 ELSE 'inf'::DOUBLE END AS response,
    CASE WHEN status = 200 THEN (done_ns - sent_ns) / 1e6 ELSE 'inf'::DOUBLE END AS service
FROM requests AS r JOIN loads AS l ON l.run = r.run AND l.trial = r.trial AND l.load = r.load
WHERE r.scheduled_ns >= opens_ns AND r.scheduled_ns < closes_ns AND r.run = $run
"""

LOADS = f"""
WITH windowed AS ({REQUESTS})
SELECT l.*, t.label, t.device, t.workers, t.block, t.attempt,
    completed / (closes_ns - opens_ns) * 1e9 AS achieved,
    server_cpu_s / nullif(completed, 0) * 1000 AS cpu_per_1000,
    q.responses, q.services
FROM loads AS l JOIN trials AS t ON t.run = l.run AND t.trial = l.trial LEFT JOIN (
    SELECT run, trial, load, quantile_disc(response, {list(QUANTILES)}) AS responses,
        quantile_disc(service, {list(QUANTILES)}) AS services
    FROM windowed GROUP BY ALL
) AS q ON q.run = l.run AND q.trial = l.trial AND q.load = l.load
WHERE l.run = $run AND t.scenario = $scenario AND t.outcome = 'ok'
ORDER BY l.trial, l.load
"""

SHAPES = f"""
WITH windowed AS ({REQUESTS})
SELECT t.label, t.device, t.workers, l.rate, count(*) AS n, quantile_disc(response, {list(SHAPE)}) AS responses,
    quantile_disc(service, {list(SHAPE)}) AS services
FROM windowed AS w JOIN loads AS l ON l.run = w.run AND l.trial = w.trial AND l.load = w.load
JOIN trials AS t ON t.run = w.run AND t.trial = w.trial
WHERE t.scenario = $scenario AND t.outcome = 'ok' AND l.kind = 'server' AND l.codes IS NULL AND NOT l.saturated
GROUP BY ALL
"""

MEMORY = """
SELECT trial, max_by("value", at_ns) FILTER (at_ns < began) AS idle,
    max("value") FILTER (at_ns >= began) AS loaded
FROM samples JOIN (
    SELECT run, trial, min(scheduled_ns) AS began FROM requests WHERE run = $run GROUP BY ALL
) USING (run, trial)
WHERE metric = 'tree_pss' AND run = $run GROUP BY trial
"""


Key = tuple[str, str, int]  # of a case: label, device, workers


def key(case: Case) -> Key:
    return case.label, case.device, case.workers


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """A load of one case in one trial. Latencies in ms; None where too few requests can show the quantile."""

    block: int
    kind: str
    rate: float | None  # offered, requests/s
    scheduled: int
    achieved: float  # requests/s
    errors: int
    saturated: bool
    codes: str | None
    responses: dict[float, float | None]
    services: dict[float, float | None]
    cpu_per_1000: float | None
    batch_sizes: dict[int, int]  # rows of a call of the model to calls; empty where they were not counted
    answering: int | None  # processes in which the model was called; None where that was not counted
    row: dict[str, Any]

    @property
    def valid(self) -> bool:
        return not self.codes

    @property
    def rows_per_call(self) -> float | None:
        """Mean rows of a call of the model."""
        calls = sum(self.batch_sizes.values())
        return sum(size * count for size, count in self.batch_sizes.items()) / calls if calls else None


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """A serving question as one run measured it."""

    question: Question
    loads: dict[Key, list[Load]]
    shapes: dict[tuple[Key, float], tuple[int, list[float], list[float]]]  # case and rate: n, response, service
    memory: dict[int, tuple[float | None, float | None]]  # trial to MiB idle and loaded

    @property
    def cases(self) -> list[Case]:
        return self.question.cases

    @property
    def rates(self) -> list[float]:
        return sorted(
            {load.rate for loads in self.loads.values() for load in loads if load.kind == "server" and load.rate}
        )

    def at(self, case: Case, kind: str, rate: float | None = None) -> list[Load]:
        """The valid loads of a kind, at a rate, in order of blocks."""
        return [
            load
            for load in self.loads.get(key(case), [])
            if load.kind == kind and load.valid and (rate is None or load.rate == rate)
        ]

    def blocks(self, case: Case, rate: float, quantile: float) -> dict[int, float]:
        """Block to a quantile of the response in ms, of loads that were valid and kept up with."""
        loads = [load for load in self.at(case, "server", rate) if not load.saturated]
        return {load.block: at for load in loads if (at := load.responses[quantile])}


def served(connection: duckdb.DuckDBPyConnection, question: Question) -> Served:
    """Read what a serving scenario measured."""
    parameters = {"run": question.run["run"], "scenario": question.name}
    last = {row["trial"] for case in question.cases for row in case.rows}
    loads: dict[Key, list[Load]] = {}
    for row in dicts(connection, LOADS, parameters):
        if row["trial"] in last:
            loads.setdefault((row["label"], row["device"], row["workers"]), []).append(load_of(row))
    shapes = {
        ((row["label"], row["device"], row["workers"]), row["rate"]): (row["n"], row["responses"], row["services"])
        for row in dicts(connection, SHAPES, parameters)
    }
    memory = {
        row["trial"]: (mebibytes(row["idle"]), mebibytes(row["loaded"]))
        for row in dicts(connection, MEMORY, {"run": question.run["run"]})
    }
    return Served(question, loads, shapes, memory)


def load_of(row: dict[str, Any]) -> Load:
    def shown(values: list[float] | None) -> dict[float, float | None]:
        found = dict(zip(QUANTILES, values or [math.inf] * len(QUANTILES), strict=True))
        return {
            quantile: value if math.isfinite(value) and row["scheduled"] >= tails.least_count(quantile) else None
            for quantile, value in found.items()
        }

    return Load(
        block=row["block"],
        kind=row["kind"],
        rate=row["rate"],
        scheduled=row["scheduled"],
        achieved=row["achieved"],
        errors=row["errors"],
        saturated=row["saturated"],
        codes=row["codes"],
        responses=shown(row["responses"]),
        services=shown(row["services"]),
        cpu_per_1000=row["cpu_per_1000"],
        batch_sizes={int(size): count for size, count in json.loads(row.get("batch_sizes") or "{}").items()},
        answering=row.get("answering_processes"),
        row=row,
    )


def mebibytes(value: float | None) -> float | None:
    return None if value is None else value / 2**20
