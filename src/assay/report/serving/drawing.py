"""Which figures a served question has, and what they are drawn from."""

from __future__ import annotations

import statistics as plain
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay import scenario
from assay import statistics as rules
from assay.measured import Case
from assay.report.answer import why
from assay.report.charts import dots, forest, scatter, stacked
from assay.report.figures import Figure, Palette
from assay.report.latency import curves, nines, votes
from assay.report.serving.answer import (
    differences,
    estimate,
    joins,
    middle_rate,
    quantile_estimate,
    ranked,
    ready,
    title,
    twins,
)
from assay.served import Served, key

MOST_LINES = 8  # on one figure; the rest is in the table
SIZES = (1, 2, 4, 8, 16, 32, 64)  # largest of each class of batch sizes


def draw(one: Served, palette: Palette) -> dict[str, Figure]:
    """The figures by kind; a kind without data is left out."""
    found = {kind: make(one, palette) for kind, make in MAKERS.items()}
    return {kind: figure for kind, figure in found.items() if figure}


def named(one: Served, kind: str, words: str) -> tuple[str, str]:
    """Name and title of a figure."""
    return f"{one.question.name}-{kind}", f"{words}: {one.question.text['title']}"


def shown(one: Served) -> list[Case]:
    return [case for case in one.cases if not case.control]


def by_tail(one: Served) -> list[Case]:
    """Those that can be drawn as lines: the lowest p99 at the middle rate first."""
    rate = middle_rate(one)
    order = [case for case, _ in ranked(one, lambda case: quantile_estimate(one.at(case, "server", rate), 0.99))]
    return [*order, *(case for case in shown(one) if case not in order)][:MOST_LINES]


def latency(one: Served, palette: Palette) -> Figure | None:
    slo = one.question.text.get("load", {}).get("slo")
    panels = []
    for quantile in (0.5, 0.99):
        series: dict[str, tuple[str, list[tuple[float, float, bool]]]] = {}
        for case in by_tail(one):
            points = []
            for offered in one.rates:
                loads = one.at(case, "server", offered)
                values = [load.responses[quantile] for load in loads]
                at = None if None in values else estimate(values)
                if at:
                    points.append((offered, at.value, any(load.saturated for load in loads)))
            if points:
                series[title(one, case)] = case.tool, points
        if series:
            panels.append((f"response p{quantile * 100:g} (ms)", series))
    bound = float(scenario.seconds(slo["within"])) * 1e3 if slo else None
    return curves(*named(one, "latency", "Latency against load"), panels, bound, palette) if panels else None


def difference(one: Served, palette: Palette) -> Figure | None:
    rate = middle_rate(one)
    found = differences(one, 0.99)
    rows = [
        (title(one, case), case.tool, found[at])
        for case in shown(one)
        if rate and (at := (rate, key(case))) in found and found[at].ratio.low is not None
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: row[2].ratio.value)
    floor = next((floor for (at, *_), _, floor in twins(one, 0.99) if at == rate), None)
    name, heading = named(one, "difference", f"p99 at {rate:g} requests/s against {one.question.control}")
    return forest(name, heading, "p99", rows, rules.MARGIN, floor, str(one.question.control), palette)


def shape(one: Served, palette: Palette) -> Figure | None:
    rate = middle_rate(one)
    series = {
        title(one, case): (case.tool, *one.shapes[key(case), rate])
        for case in by_tail(one)
        if rate and (key(case), rate) in one.shapes
    }
    return nines(*named(one, "shape", f"Response at {rate:g} requests/s"), series, palette) if series else None


def start(one: Served, palette: Palette) -> Figure | None:
    rows = [(title(one, case), start_parts(case)) for case, _ in ranked(one, ready)]
    return stacked(*named(one, "start", "Cold start"), "seconds, median over trials", rows) if rows else None


def memory(one: Served, palette: Palette) -> Figure | None:
    rows = [(title(one, case), parts) for case in shown(one) if (parts := memory_parts(one, case))]
    rows.sort(key=lambda pair: sum(pair[1].values()))
    return stacked(*named(one, "memory", "Memory"), "MiB, mean over trials", rows) if rows else None


def cost(one: Served, palette: Palette) -> Figure | None:
    rate = middle_rate(one)
    if not rate:
        return None
    costs = {key(case): [load.cpu_per_1000 for load in one.at(case, "server", rate)] for case in one.cases}
    rows = [
        (title(one, case), case.tool, at, [value for value in costs[key(case)] if value])
        for case, at in ranked(one, lambda case: estimate(costs[key(case)]))
    ]
    failed = [(title(one, case), why(case)) for case in shown(one) if not case.ok()]
    name, heading = named(one, "cost", f"CPU of 1,000 requests at {rate:g}/s")
    return dots(name, heading, "s", rows, failed, palette) if rows or failed else None


def search(one: Served, palette: Palette) -> Figure | None:
    rows = []
    for case in shown(one):
        tried = [(load.rate, bool(load.row["passed"])) for load in one.at(case, "search") if load.rate]
        if tried:
            brackets = [(row["slo_low"], row["slo_high"]) for row in case.ok() if row["slo_quantile"]]
            rows.append((title(one, case), case.tool, tried, brackets))
    return votes(*named(one, "search", "Rate within the bound"), rows, palette) if rows else None


def offline(one: Served, palette: Palette) -> Figure | None:
    achieved = {key(case): [load.achieved for load in one.at(case, "offline")] for case in one.cases}
    rows = [
        (title(one, case), case.tool, at, achieved[key(case)])
        for case, at in reversed(ranked(one, lambda case: estimate(achieved[key(case)])))
    ]
    return dots(*named(one, "offline", "Saturation"), "requests/s", rows, [], palette) if rows else None


def trade(one: Served, palette: Palette) -> Figure | None:
    """What was answered at saturation against the memory held then."""
    points = []
    for case in shown(one):
        parts = memory_parts(one, case)
        most = estimate([load.achieved for load in one.at(case, "offline")])
        if parts and most:
            points.append((title(one, case), case.tool, sum(parts.values()), most.value))
    name, heading = named(one, "trade", "Saturation against memory")
    return scatter(name, heading, ("MiB, loaded", "requests/s"), points, palette) if points else None


def batches(one: Served, palette: Palette) -> Figure | None:
    """Sizes of the batches that reached the model under the heaviest load, where some server forms any."""
    rows = []
    for case in shown(one):
        for kind, rate in [("offline", None), *(("server", rate) for rate in reversed(one.rates))]:
            sizes = [load.batch_sizes for load in one.at(case, kind, rate) if load.batch_sizes]
            if sizes:
                rows.append((title(one, case), size_shares(sizes)))
                break
    heading = named(one, "batches", "Batches under the heaviest load")
    return stacked(*heading, "% of the model's calls, by rows", rows) if rows and joins(one) else None


def size_shares(loads: Sequence[Mapping[int, int]]) -> dict[str, float]:
    """Per cent of calls by class of size, over all loads."""
    total = sum(count for sizes in loads for count in sizes.values())
    found: dict[str, float] = {}
    low = 0
    for high in (*SIZES, 10**9):
        count = sum(count for sizes in loads for size, count in sizes.items() if low < size <= high)
        if count:
            word = str(high) if high == low + 1 else (f"{low + 1} to {high}" if high <= SIZES[-1] else f"over {low}")
            found[word] = 100 * count / total
        low = high
    return found


def start_parts(case: Case) -> dict[str, float]:
    """Seconds from the tool's call to the first correct prediction, by part: medians over trials."""
    rows = [row for row in case.ok() if row["ready_ns"]]

    def median(value: Callable[[Mapping[str, Any]], int]) -> float:
        return float(plain.median(value(row) for row in rows)) / 1e9

    return {
        "until something listens": median(lambda row: row["listening_ns"]),
        "until it answers": median(lambda row: row["answering_ns"] - row["listening_ns"]),
        "until it answers rightly": median(lambda row: row["ready_ns"] - row["answering_ns"]),
    }


def memory_parts(one: Served, case: Case) -> dict[str, float]:
    """MiB idle and what loads added: means over trials."""
    pairs = [one.memory.get(row["trial"], (None, None)) for row in case.ok()]
    known = [(idle, loaded) for idle, loaded in pairs if idle and loaded]
    if not known:
        return {}
    idle = plain.mean(first for first, _ in known)
    return {"idle": idle, "added by loads": max(0.0, plain.mean(second for _, second in known) - idle)}


MAKERS: dict[str, Callable[[Served, Palette], Figure | None]] = {
    "latency": latency,
    "difference": difference,
    "search": search,
    "shape": shape,
    "start": start,
    "memory": memory,
    "cost": cost,
    "offline": offline,
    "trade": trade,
    "batches": batches,
}
