"""Which figures an answer has, and what they are drawn from."""

from __future__ import annotations

import json
import math
import statistics as plain
from collections.abc import Mapping
from typing import Any

from assay import measured
from assay import statistics as rules
from assay.measured import THROUGHPUT, Case
from assay.report.answer import Answer, why
from assay.report.charts import dots, forest, lines, repeats, scaling, scatter, stacked
from assay.report.figures import Figure, Palette


def draw(one: Answer, traces: Mapping[tuple[str, str], Any], palette: Palette) -> dict[str, Figure]:
    """The figures of an answer by kind; a kind without data is left out."""
    question, prefix = one.question, f"{one.question.name}-{one.device}"
    title = f"{question.text['title']}, {one.device}"
    ranked = sorted(
        ((case, estimate) for case in one.cases if (estimate := one.estimate(case, THROUGHPUT))),
        key=lambda pair: (-pair[0].workers, -pair[1].value),
    )
    failed = [(case.name, why(case)) for case in one.cases if not case.ok()]
    found = {
        "throughput": dots(
            f"{prefix}-throughput",
            f"Throughput by tool: {title}",
            "samples/s",
            [(case.name, case.tool, estimate, list(case.values(THROUGHPUT).values())) for case, estimate in ranked],
            failed,
            palette,
        )
    }
    shown = [case for case, _ in ranked if not case.control]
    if question.baseline and len(question.workers(one.device)) > 1 and one.speedups:
        tools = {case.label: case.tool for case in one.cases}
        cores = len(json.loads(question.run["machine"])["cpuset"]) if one.device == "cpu" else math.inf
        several = {label: points for label, points in one.speedups.items() if len(points) > 1}
        by_label = Palette([tools[label] for label in several])
        by_label.place = {label: palette.place[tools[label]] for label in several}
        if several:
            found["scaling"] = scaling(
                f"{prefix}-scaling", f"Scaling: {title}", several, question.baseline, by_label, int(min(cores, 1e6))
            )
    starts = [(case.name, start_parts(case)) for case in shown if start_parts(case)]
    if starts:
        found["start"] = stacked(f"{prefix}-start", f"Start-up: {title}", "seconds, median over trials", starts)
    memory = [(case.name, memory_parts(case)) for case in shown if memory_parts(case)]
    if memory:
        found["memory"] = stacked(f"{prefix}-memory", f"Peak memory by role: {title}", "MiB, mean over trials", memory)
    own = {
        case.name: (case.tool, traces[case.device, case.name]) for case in shown if (case.device, case.name) in traces
    }
    points = [
        (case.name, case.tool, sum(parts.values()), estimate.value)
        for case, estimate in ranked
        if not case.control and (parts := memory_parts(case))
    ]
    if points:
        found["trade"] = scatter(
            f"{prefix}-trade", f"Throughput against memory: {title}", ("MiB at the peak", "samples/s"), points, palette
        )
    if own:
        found["quality"] = lines(
            f"{prefix}-quality",
            f"Quality over time: {title}",
            ("seconds from the loop's start", "accuracy on held-out rows"),
            own,
            question.text.get("quality", {}).get("target"),
            palette,
        )
    for workers, comparison in one.comparisons.items():
        if any(item.ratio.low is not None for item in comparison.values()):
            tools = {case.label: case.tool for case in one.cases}
            rows = sorted(comparison.items(), key=lambda pair: -pair[1].ratio.value)
            found[f"difference-{workers}"] = forest(
                f"{prefix}-difference-{workers}",
                f"Difference from {question.control} at {workers} workers: {title}",
                "throughput",
                [(label, tools[label], item) for label, item in rows],
                rules.MARGIN,
                one.floors.get(workers, (None, None))[1],
                f"{question.control} ×{workers}",
                palette,
            )
    noise = {
        case.name: (
            case.tool,
            [(row["trial"] % 1_000_000, row["throughput"] / estimate.value) for row in case.ok() if row["throughput"]],
        )
        for case, estimate in ranked
    }
    if noise:
        found["noise"] = repeats(f"{prefix}-noise", f"Every trial: {title}", noise, palette)
    return found


def start_parts(case: Case) -> dict[str, float]:
    """Seconds from spawn to the first step, or pass, done, by part: medians over trials."""
    rows = [row for row in case.ok() if row["first_step_ns"] is not None]
    if not rows:
        return {}

    def median(value: Any) -> float:
        return float(plain.median(value(row) for row in rows)) / 1e9

    if rows[0]["load_ns"] is None:  # batch inference
        return {
            "import the tool": median(lambda row: row["import_ns"]),
            "start": median(lambda row: row["launch_ns"]),
            "cold pass": median(lambda row: row["warmup_ns"]),
        }
    return {
        "import the tool": median(lambda row: row["import_ns"]),
        "launch ranks": median(lambda row: row["launch_ns"]),
        "load inputs and model": median(lambda row: row["load_ns"]),
        "prepare": median(lambda row: row["prepare_ns"]),
        "first step": max(
            0.0, median(lambda row: row["first_step_ns"] - row["launch_ns"] - row["load_ns"] - row["prepare_ns"])
        ),
    }


def memory_parts(case: Case) -> dict[str, float]:
    """MiB by role at the peak, by the method that was available; small roles are gathered."""
    column = "pss_by_role" if all(row["peak_pss"] for row in case.ok()) else "rss_by_role"
    found: dict[str, list[float]] = {}
    for row in case.ok():
        for role, size in measured.roles(row, column).items():
            name = "ranks" if role == "ranks" else ("JVM" if role == "java" else "everything else")
            found.setdefault(name, []).append(size / 2**20)
    parts: dict[str, float] = {}
    trials = len(case.ok())
    for name in ("ranks", "JVM", "everything else"):
        if name in found:
            parts[name] = sum(found[name]) / trials
    return parts
