"""The numbers under the figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay import statistics as rules
from assay.cost import Prices, per_million
from assay.measured import METRICS, THROUGHPUT
from assay.report.answer import Answer
from assay.report.document import Table
from assay.report.figures import amount, interval_text
from assay.scaling import LEAST_AMDAHL, LEAST_USL, Fit, fit
from assay.statistics import Estimate


def number(estimate: Estimate | None) -> str:
    return "-" if estimate is None else amount(estimate.value)


def interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{amount(estimate.low)} to {amount(estimate.high)}"


def case_table(one: Answer) -> Table:
    """All metrics of all cases: geometric means over blocks, with the throughput's interval and n."""
    present = [metric for metric in METRICS if any(case.values(metric) for case in one.cases)]
    rows = []
    for case in one.cases:
        estimates = {metric: one.estimate(case, metric) for metric in present}
        throughput = estimates.get(THROUGHPUT)
        rows.append(
            [
                case.label,
                str(case.workers),
                f"{len(case.ok())}/{len(case.rows)}",
                interval(throughput),
                *(number(estimates[metric]) for metric in present),
            ]
        )
    return Table(
        ["Tool", "Workers", "ok", "Throughput, 95 %", *(f"{metric.title} ({metric.unit})" for metric in present)],
        rows,
        "Geometric means over blocks. Intervals are unadjusted; n is the number of right trials.",
    )


def comparison_table(one: Answer) -> Table | None:
    rows = []
    tools = {label: comparison for workers in one.comparisons for label, comparison in one.comparisons[workers].items()}
    if not tools:
        return None
    for workers, comparisons in one.comparisons.items():
        base = one.question.case(one.question.control or "", one.device, workers)
        absolute = one.estimate(base, THROUGHPUT) if base else None
        for label, comparison in sorted(comparisons.items(), key=lambda pair: -pair[1].ratio.value):
            medians = comparison.sensitivity(one.question.run["seed"])
            rows.append(
                [
                    label,
                    str(workers),
                    f"{comparison.ratio.value:.3f}",
                    interval(comparison.ratio),
                    str(comparison.ratio.n),
                    "-" if comparison.p is None else f"{comparison.p:.2g}",
                    "-" if comparison.p_equivalent is None else f"{comparison.p_equivalent:.2g}",
                    "-" if medians is None else f"{medians[0]:.3f} to {medians[1]:.3f}",
                    comparison.verdict,
                    number(absolute),
                ]
            )
    return Table(
        [
            "Tool",
            "Workers",
            "Ratio",
            "95 %",
            "n",
            "p",
            "p equivalent",
            "Bootstrap of medians",
            "Verdict",
            f"{one.question.control} (samples/s)",
        ],
        rows,
        f"Throughput relative to {one.question.control} at the same number of workers, paired by block. "
        "p values are adjusted for the table (Holm).",
    )


def speedup_table(one: Answer) -> Table | None:
    if not one.speedups or not one.question.baseline:
        return None
    base = one.question.case(one.question.baseline, one.device, 1)
    absolute = one.estimate(base, THROUGHPUT) if base else None
    rows = [
        [
            label,
            str(workers),
            f"{estimate.value:.3f}",
            interval(estimate),
            f"{estimate.value / workers:.3f}",
            str(estimate.n),
        ]
        for label, points in sorted(one.speedups.items())
        for workers, estimate in sorted(points.items())
    ]
    cores = len(json.loads(one.question.run["machine"])["cpuset"])
    fits = {label: found for label, points in one.speedups.items() if (found := fitted(points, cores))}
    most = max(len([count for count in points if count <= cores]) for points in one.speedups.values())
    for label, found in sorted(fits.items()):
        rows.append([label, found.model, "-", f"sigma {ranged(found.sigma)}, kappa {ranged(found.kappa)}", "-", "-"])
    none = (
        f" No scaling model is fitted: Amdahl's law takes {LEAST_AMDAHL} numbers of workers within the cores, the USL "
        f"{LEAST_USL}; there {'is' if most == 1 else 'are'} {most}."
    )
    rate = f", which is {interval_text(absolute, 'samples/s')}" if absolute else ""
    return Table(
        ["Tool", "Workers", "Speed-up", "95 %", "Efficiency", "n"],
        rows,
        f"Throughput over that of {one.question.baseline} with one worker{rate}.{'' if fits else none}",
    )


def ranged(parameter: tuple[float, float, float]) -> str:
    value, low, high = parameter
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def fitted(points: Mapping[int, Estimate], cores: int) -> Fit | None:
    return fit({count: estimate.value for count, estimate in points.items()}, cores)


def cost_table(one: Answer, prices: Prices | None) -> Table | None:
    """What a million samples cost by the user's own prices."""
    per_hour = prices.per_hour.get(one.device) if prices else None
    if prices is None or per_hour is None:
        return None
    rows = [
        [case.label, str(case.workers), interval_text(per_million(estimate, per_hour), prices.currency)]
        for case in one.cases
        if not case.control and (estimate := one.estimate(case, THROUGHPUT))
    ]
    return Table(
        ["Tool", "Workers", "A million samples"],
        rows,
        f"At {per_hour:g} {prices.currency} an hour for the machine ({prices.source}, {prices.date}).",
    )


def noise_table(one: Answer) -> Table:
    rows = []
    for workers, (ratio, floor) in sorted(one.floors.items()):
        case = one.question.case(one.question.control or "", one.device, workers)
        twin = one.question.case(f"{one.question.control} (control)", one.device, workers, control=True)
        pairs = rules.ratios(twin.values(THROUGHPUT), case.values(THROUGHPUT)) if case and twin else []
        finest = (
            f"{rules.resolution([math.log(pair) for pair in pairs]):.1%}" if len(pairs) >= rules.LEAST_BLOCKS else "-"
        )
        rows.append(
            [
                str(workers),
                number(ratio),
                interval(ratio),
                str(ratio.n if ratio else 0),
                "-" if floor is None else f"{floor:.1%}",
                finest,
            ]
        )
    return Table(
        ["Workers", "A/A ratio", "95 %", "n", "Noise floor", "Smallest effect resolved"],
        rows,
        f"{one.question.control} against itself under a second name.",
    )


def trial_table(one: Answer) -> Table:
    rows = []
    for row in sorted((row for case in one.cases for row in case.rows), key=lambda row: row["trial"] % 1_000_000):
        rows.append(
            [
                str(row["trial"]),
                str(row["block"] + 1),
                row["label"],
                str(row["workers"]),
                f"{row['outcome']} {row['codes'] or ''}".strip(),
                f"{row['throughput']:,.1f}" if row["throughput"] and row["outcome"] == "ok" else "-",
                row["window"] or "-",
                f"{row['first_step_s']:.2f}" if row["first_step_s"] else "-",
                f"{row['total_s']:.2f}" if row["total_s"] else "-",
                f"{row['loss_gap']:.1e}" if row["loss_gap"] is not None else "-",
                f"{row['cpu_s']:.1f}" if row["cpu_s"] is not None else "-",
                f"{row['kernel_drift']:+.1%}" if row["kernel_drift"] is not None else "-",
            ]
        )
    columns = ["Trial", "Block", "Tool", "Workers", "Outcome", "samples/s", "Window", "First step (s)", "Total (s)"]
    return Table([*columns, "Loss gap", "CPU (s)", "Kernel drift"], rows)


def thread_table(trials: Sequence[Mapping[str, Any]]) -> Table:
    """What ranks saw, one row a tool."""
    rows = {}
    for row in trials:
        facts = json.loads(row["facts"] or "[]")
        if facts and row["label"] not in rows:
            first = facts[0]
            variables = " ".join(
                f"{name}={value}" for name, value in first["variables"].items() if not name.startswith("PYTHON")
            )
            rows[row["label"]] = [
                row["label"],
                str(first["threads"]),
                str(first["interop_threads"]),
                str(first["affinity"]),
                f"`{variables}`" if variables else "-",
            ]
    return Table(
        ["Tool", "Threads", "Inter-op", "Affinity of rank 0", "Variables as the rank sees them"],
        [rows[label] for label in sorted(rows)],
    )
