"""Stored figures in the JSON that other tools read: pytest-benchmark's, and that of github-action-benchmark. Pure.

One entry a case and metric, one value a trial: seconds a sample for jobs, seconds at p99 for servers.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from assay.measured import THROUGHPUT, Question
from assay.served import Served

TAIL = 0.99
PYTEST_BENCHMARK = "5.3.1"  # whose files these are like


def series(questions: Sequence[Question], offered: Mapping[str, Served]) -> Iterator[tuple[Question, str, list[float]]]:
    """Question, name and seconds a trial, of every case with right answers."""
    for question in questions:
        for case in question.cases:
            name = f"{question.name}/{case.label}/{case.device}/{case.workers}"
            if question.serves:
                one = offered[question.name]
                for rate in one.rates:
                    if values := one.blocks(case, rate, TAIL):
                        yield question, f"{name} p99 at {rate:g}/s", [value / 1e3 for value in values.values()]
            elif values := case.values(THROUGHPUT):
                yield question, f"{name} seconds a sample", [1 / value for value in values.values()]


def pytest_benchmark(found: Sequence[tuple[Question, str, list[float]]]) -> str:
    """As `pytest --benchmark-json`; commit and machine are those of the first run."""
    first = found[0][0].run
    machine = json.loads(first["machine"])
    return json.dumps(
        {
            "machine_info": {
                "system": machine["system"],
                "machine": machine["architecture"],
                "release": machine["kernel"],
                "python_version": machine["python"],
                "cpu": {"brand_raw": machine["cpu"], "count": machine["threads"]},
            },
            "commit_info": {"id": first["commit"], "time": first["started_utc"], "dirty": first["dirty"]},
            "benchmarks": [
                {
                    "group": question.name,
                    "name": name,
                    "fullname": name,
                    "params": None,
                    "param": None,
                    "extra_info": {"run": question.run["run"], "profile": question.run["profile"]},
                    "options": {"disable_gc": True, "timer": "perf_counter", "warmup": True},
                    "stats": stats(values),
                }
                for question, name, values in found
            ],
            "datetime": first["started_utc"],
            "version": PYTEST_BENCHMARK,
        },
        indent=1,
    )


def stats(values: Sequence[float]) -> dict[str, Any]:
    """Over trials, under pytest-benchmark's names; quartiles by linear interpolation."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    fences = low - 1.5 * (high - low), high + 1.5 * (high - low)
    mean, deviation = statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
    inside = [value for value in values if fences[0] <= value <= fences[1]]
    far = sum(abs(value - mean) > deviation for value in values)
    return {
        "min": min(values),
        "max": max(values),
        "mean": mean,
        "stddev": deviation,
        "rounds": len(values),
        "median": middle,
        "iqr": high - low,
        "q1": low,
        "q3": high,
        "iqr_outliers": len(values) - len(inside),
        "stddev_outliers": far,
        "outliers": f"{far};{len(values) - len(inside)}",
        "ld15iqr": min(inside),
        "hd15iqr": max(inside),
        "ops": 1 / mean,
        "total": sum(values),
        "data": list(values),
        "iterations": 1,
    }


def github(found: Sequence[tuple[Question, str, list[float]]]) -> str:
    """As github-action-benchmark reads with `tool: customSmallerIsBetter`."""
    return json.dumps(
        [
            {
                "name": name,
                "unit": "s",
                "value": statistics.median(values),
                "range": f"{min(values):.6g} to {max(values):.6g}",
                "extra": f"run {question.run['run']}, n = {len(values)}",
            }
            for question, name, values in found
        ],
        indent=1,
    )


FORMATS: dict[str, Callable[[Sequence[tuple[Question, str, list[float]]]], str]] = {
    "pytest-benchmark": pytest_benchmark,
    "github": github,
}
