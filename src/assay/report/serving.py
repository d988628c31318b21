"""The serving part of a report: what a served question says, shows and lists."""

from __future__ import annotations

import collections
import dataclasses
import json
import statistics as plain
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay import statistics as rules
from assay import tails
from assay.measured import Case
from assay.report.answer import provenance, reproduce, why
from assay.report.document import Code, Details, Heading, Items, Paragraph, Part, Picture, Table
from assay.report.figures import Figure, Palette, amount, curves, dots, interval_text, nines, stacked, votes
from assay.served import Load, Served, key
from assay.statistics import Estimate

MOST_LINES = 8  # on one figure; the rest is in the table

KINDS = ("latency", "search", "shape", "start", "memory", "cost", "offline")
CAPTIONS = {
    "latency": "Response time from the scheduled moment, against the rate offered; means over trials. A cross: the "
    "server fell behind. Loads that were not valid are left out.",
    "shape": "All requests of all trials at one rate. Response (solid) begins at the scheduled moment, service "
    "(dashed) when the request was sent.",
    "start": "From the tool's call to the first correct prediction. Packaging and environments were made before.",
    "memory": "Proportional set size of the server's processes: idle before the first load, and what loads added.",
    "cost": "CPU of all processes of the server in a window; the client's is not in it.",
    "search": "Each load that was tried, and per trial the bracket: highest rate that passed, lowest that did not.",
    "offline": "Requests in flight at all times: the most that came back.",
}


def estimate(values: Sequence[float | None]) -> Estimate | None:
    return rules.geometric([value for value in values if value])


def quantile_estimate(loads: Sequence[Load], quantile: float) -> Estimate | None:
    """Over trials; None where some trial fell behind or had too few requests to show the quantile."""
    if not loads or any(load.saturated for load in loads):
        return None
    values = [load.responses[quantile] for load in loads]
    return None if None in values else estimate(values)


def title(one: Served, case: Case) -> str:
    """A case's name, as long as it has to be among the others."""
    words = [case.label]
    if len({other.workers for other in one.cases}) > 1:
        words.append(f"×{case.workers}")
    if len(one.question.devices) > 1:
        words.append(case.device)
    return " ".join(words)


def twins(one: Served) -> list[tuple[float, Estimate, float | None]]:
    """The A/A control: by rate the ratio of the twin's p50 to its original's, and the noise floor if there is one."""
    found = []
    for twin in (case for case in one.cases if case.control):
        original = one.question.case(one.question.control or "", twin.device, twin.workers)
        if not original:
            continue
        for rate in one.rates:
            first, second = (
                {load.block: at for load in one.at(case, "server", rate) if (at := load.responses[0.5])}
                for case in (twin, original)
            )
            ratio, floor = rules.noise_floor(first, second)
            if ratio:
                found.append((rate, ratio, floor))
    return found


def middle_rate(one: Served) -> float | None:
    return one.rates[(len(one.rates) - 1) // 2] if one.rates else None


def ranked(one: Served, value: Callable[[Case], Estimate | None]) -> list[tuple[Case, Estimate]]:
    """Cases that have the value, smallest first; the control is left out."""
    found = [(case, at) for case in one.cases if not case.control and (at := value(case))]
    return sorted(found, key=lambda pair: pair[1].value)


def ready(case: Case) -> Estimate | None:
    return estimate([row["ready_ns"] / 1e9 for row in case.ok() if row["ready_ns"]])


def sentences(one: Served) -> list[str]:
    """The answer in plain words, with values and n."""
    found = []
    for rate in one.rates:
        rows = ranked(one, lambda case, rate=rate: quantile_estimate(one.at(case, "server", rate), 0.99))  # type: ignore[misc]
        behind = [
            title(one, case)
            for case in one.cases
            if not case.control and any(load.saturated for load in one.at(case, "server", rate))
        ]
        text = ""
        if rows:
            (first, low), (last, high) = rows[0], rows[-1]
            text = (
                f"At {rate:g} requests/s the lowest p99 was that of **{title(one, first)}**, {interval_text(low, 'ms')}"
            )
            if last is not first:
                text += f"; the highest that of **{title(one, last)}**, {interval_text(high, 'ms')}"
            text += "."
        if behind:
            text += f" At {rate:g} requests/s on {server_cores(one)} these fell behind: {', '.join(sorted(behind))}."
        if text:
            found.append(text.strip())
    starts = ranked(one, ready)
    if starts:
        (quick, low), (slow, high) = starts[0], starts[-1]
        found.append(
            f"From the call to the first right answer took {interval_text(low, 's')} with **{title(one, quick)}** and "
            f"{interval_text(high, 's')} with **{title(one, slow)}**."
        )
    middle = middle_rate(one)
    if middle:
        costs = ranked(one, lambda case: estimate([load.cpu_per_1000 for load in one.at(case, "server", middle)]))
        if costs:
            (cheap, low), (dear, high) = costs[0], costs[-1]
            found.append(
                f"A thousand requests at {middle:g}/s cost {interval_text(low, 's')} of CPU with "
                f"**{title(one, cheap)}** and {interval_text(high, 's')} with **{title(one, dear)}**."
            )
    ratios = [f"{interval_text(ratio)} at {rate:g}/s" for rate, ratio, _ in twins(one)]
    if ratios:
        found.append(f"The A/A control, p50 of {one.question.control} against itself: {', '.join(ratios)}.")
    return found


def server_cores(one: Served) -> str:
    for case in one.cases:
        for row in case.ok():
            count = len(json.loads(row["cores"] or "{}").get("server", []))
            if count:
                return f"{count} core{'s' if count > 1 else ''}"
    return "the cores of this machine"


def alarms(one: Served) -> list[str]:
    found = []
    invalid = [case.name for case in one.cases if any(row["outcome"] == "invalid" for row in case.rows)]
    if invalid:
        found.append(
            f"Trials of {', '.join(invalid)} were invalid; see [failures](failures.html). Nothing of them is shown."
        )
    rejected = collections.Counter(
        code for loads in one.loads.values() for load in loads for code in (load.codes or "").split()
    )
    if rejected:
        words = ", ".join(f"{code} {count}" for code, count in sorted(rejected.items()))
        total = sum(len(loads) for loads in one.loads.values())
        bad = sum(not load.valid for loads in one.loads.values() for load in loads)
        found.append(f"{bad} of {total} loads were not valid and are left out ({words}).")
    exposed = sorted({row["exposed"] for case in one.cases for row in case.rows if row["exposed"]})
    found += [f"Not isolated: servers shared the host's network ({reason})." for reason in exposed]
    for rate, ratio, floor in twins(one):
        if ratio.low is not None and floor is None:
            found.append(
                f"A/A control missed: {one.question.control} against itself at {rate:g} requests/s gave "
                f"{interval_text(ratio)}. Differences at that rate are not to be trusted; repeat the run."
            )
    if one.question.run["dirty"]:
        found.append("Measured from a checkout with uncommitted changes.")
    return found


def draw(one: Served, palette: Palette) -> dict[str, Figure]:
    """The figures by kind; a kind without data is left out."""
    prefix, heading = one.question.name, one.question.text["title"]
    found: dict[str, Figure] = {}
    shown = [case for case in one.cases if not case.control]
    rate = middle_rate(one)
    order = [case for case, _ in ranked(one, lambda case: quantile_estimate(one.at(case, "server", rate), 0.99))]
    order += [case for case in shown if case not in order]
    slo = one.question.text.get("load", {}).get("slo")
    panels = []
    for quantile in (0.5, 0.99):
        series: dict[str, tuple[str, list[tuple[float, float, bool]]]] = {}
        for case in order[:MOST_LINES]:
            points = []
            for offered in one.rates:
                loads = one.at(case, "server", offered)
                values = [load.responses[quantile] for load in loads]
                at = None if None in values else estimate(values)
                if at:
                    points.append((offered, at.value, any(load.saturated for load in loads)))
            if points:
                series[title(one, case)] = case.tool, points
        panels.append((f"response p{quantile * 100:g} (ms)", series))
    panels = [panel for panel in panels if panel[1]]
    if panels:
        bound = bound_ms(slo) if slo else None
        found["latency"] = curves(f"{prefix}-latency", f"Latency against load: {heading}", panels, bound, palette)
    if rate:
        shapes = {
            title(one, case): (case.tool, *one.shapes[key(case), rate])
            for case in order[:MOST_LINES]
            if (key(case), rate) in one.shapes
        }
        if shapes:
            found["shape"] = nines(f"{prefix}-shape", f"Response at {rate:g} requests/s: {heading}", shapes, palette)
    starts = [(title(one, case), start_parts(case)) for case, _ in ranked(one, ready)]
    if starts:
        found["start"] = stacked(f"{prefix}-start", f"Cold start: {heading}", "seconds, median over trials", starts)
    memory = [(title(one, case), parts) for case in shown if (parts := memory_parts(one, case))]
    memory.sort(key=lambda pair: sum(pair[1].values()))
    if memory:
        found["memory"] = stacked(f"{prefix}-memory", f"Memory: {heading}", "MiB, mean over trials", memory)
    if rate:
        costs = ranked(one, lambda case: estimate([load.cpu_per_1000 for load in one.at(case, "server", rate)]))
        rows = [
            (
                title(one, case),
                case.tool,
                at,
                [load.cpu_per_1000 for load in one.at(case, "server", rate) if load.cpu_per_1000],
            )
            for case, at in costs
        ]
        failed = [(title(one, case), why(case)) for case in shown if not case.ok()]
        if rows or failed:
            found["cost"] = dots(
                f"{prefix}-cost", f"CPU of 1,000 requests at {rate:g}/s: {heading}", "s", rows, failed, palette
            )
    searched = []
    for case in shown:
        tried = [(load.rate, bool(load.row["passed"])) for load in one.at(case, "search") if load.rate]
        if tried:
            brackets = [(row["slo_low"], row["slo_high"]) for row in case.ok() if row["slo_quantile"]]
            searched.append((title(one, case), case.tool, tried, brackets))
    if searched:
        found["search"] = votes(f"{prefix}-search", f"Rate within the bound: {heading}", searched, palette)
    offline = ranked(one, lambda case: estimate([load.achieved for load in one.at(case, "offline")]))
    if offline:
        found["offline"] = dots(
            f"{prefix}-offline",
            f"Saturation: {heading}",
            "requests/s",
            [
                (title(one, case), case.tool, at, [load.achieved for load in one.at(case, "offline")])
                for case, at in reversed(offline)
            ],
            [],
            palette,
        )
    return found


def bound_ms(slo: Mapping[str, Any]) -> float:
    from assay.scenario import seconds

    return float(seconds(slo["within"])) * 1e3


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


def load_table(one: Served) -> Table:
    """One row a case and rate."""
    rows = []
    for case in one.cases:
        for rate in one.rates:
            loads = [load for load in one.loads.get(key(case), []) if load.kind == "server" and load.rate == rate]
            valid = [load for load in loads if load.valid]
            state = "fell behind" if any(load.saturated for load in valid) else ("ok" if valid else "not valid")

            def shown(value: Estimate | None) -> str:
                return "-" if value is None else amount(float(f"{value.value:.4g}"))

            service = [load.services[0.99] for load in valid]
            bound = quantile_estimate(valid, 0.99)
            rows.append(
                [
                    title(one, case),
                    f"{rate:g}",
                    f"{len(valid)}/{len(case.rows)}",
                    state,
                    shown(estimate([load.achieved for load in valid])),
                    shown(quantile_estimate(valid, 0.5)),
                    shown(quantile_estimate(valid, 0.9)),
                    shown(bound),
                    f"{amount(bound.low)} to {amount(bound.high)}" if bound and bound.low and bound.high else "-",
                    shown(None if state != "ok" or None in service else estimate(service)),
                    str(sum(load.errors for load in valid)),
                    shown(estimate([load.cpu_per_1000 for load in valid])),
                    f"{max((load.row['lag_p99_ns'] or 0) / 1e6 for load in loads):.2f}" if loads else "-",
                ]
            )
    columns = ["Tool", "Offered (1/s)", "Valid", "State", "Achieved (1/s)", "p50 (ms)", "p90 (ms)", "p99 (ms)"]
    columns += ["p99, 95 %", "Service p99 (ms)", "Errors", "CPU per 1,000 (s)", "Lag p99, worst (ms)"]
    return Table(
        columns,
        rows,
        f"Geometric means over trials. A quantile needs {tails.least_count(0.5)}, {tails.least_count(0.9)} and "
        f"{tails.least_count(0.99)} requests a trial for p50, p90 and p99; a server that fell behind has none.",
    )


def server_table(one: Served) -> Table:
    """One row a case: what does not depend on the rate."""
    rows = []
    for case in one.cases:
        memory = memory_parts(one, case)
        start = ready(case)
        first = next(iter(case.ok()), None)
        loads = one.loads.get(key(case), [])
        single = estimate([load.responses[0.9] for load in one.at(case, "single_stream")])
        offline = estimate([load.achieved for load in one.at(case, "offline")])
        rows.append(
            [
                title(one, case),
                f"{len(case.ok())}/{len(case.rows)}" if case.ok() else why(case),
                interval_text(start, "s") if start else "-",
                f"{memory['idle']:,.0f}" if memory else "-",
                f"{sum(memory.values()):,.0f}" if memory else "-",
                f"{single.value:.3g}" if single else "-",
                amount(float(f"{offline.value:.4g}")) if offline else "-",
                bracket(case),
                f"`{first['dialect']}`" if first else "-",
                f"{loads[0].row['encode_us']:.0f} / {loads[0].row['decode_us']:.0f}" if loads else "-",
            ]
        )
    columns = ["Tool", "ok", "First right answer", "Idle (MiB)", "Loaded (MiB)", "SingleStream p90 (ms)"]
    columns += ["Offline (1/s)", "Rate under the SLO (1/s)", "Dialect", "Codec, encode / decode (us)"]
    return Table(columns, rows, "Memory is the server's alone. The codec's cost is the client's, measured apart.")


def bracket(case: Case) -> str:
    """Highest rate that passed and lowest that failed, of every trial."""
    found = []
    for row in case.ok():
        if row["slo_quantile"]:
            low = f"{row['slo_low']:.4g}" if row["slo_low"] else "none"
            high = f"{row['slo_high']:.4g}" if row["slo_high"] else "none"
            found.append(f"[{low}, {high}]")
    return ", ".join(found) or "-"


def picture_parts(drawn: Mapping[str, Figure], kinds: Sequence[str]) -> list[Part]:
    return [Picture(drawn[kind], f"**{drawn[kind].title}.** {CAPTIONS[kind]}") for kind in kinds if kind in drawn]


def note(one: Served) -> list[Part]:
    n = max((len(case.ok()) for case in one.cases), default=0)
    if n >= rules.LEAST_BLOCKS:
        return []
    return [Paragraph(f"{n} block{'s' if n != 1 else ''}: below {rules.LEAST_BLOCKS} there is no interval.")]


def index_parts(one: Served, drawn: Mapping[str, Figure]) -> list[Part]:
    return [
        Heading(one.question.text["title"]),
        Paragraph(one.question.text["question"], "lead"),
        *(Paragraph(alarm, "warning") for alarm in alarms(one)),
        *note(one),
        Items(sentences(one)),
        *picture_parts(drawn, ("latency", "start")),
        Paragraph(f"{provenance(one.question)} [All figures and trials](scenarios/{one.question.name}.html)."),
    ]


def scenario_parts(one: Served, drawn: Mapping[str, Figure]) -> list[Part]:
    question = one.question
    text, load = question.text, question.text["load"]
    return [
        Paragraph(text["question"], "lead"),
        Paragraph(provenance(question)),
        Paragraph(
            f"Workload `{text['workload']}`, {load.get('rows', 1)} rows a request, {load.get('arrivals', 'poisson')} "
            "arrivals from a schedule that is the same for every tool of a block. The server has "
            f"{server_cores(one)}, the load generator another. Sending never waits for a response; a response time "
            "begins at the scheduled moment."
        ),
        Code("spawn -> import -> package -> launch -> [ first right answer ] -> idle -> loads, rising -> stop -> gone"),
        Paragraph("Checked: every response against the golden prediction of its own rows, absolute tolerance 1e-4."),
        *([Paragraph(f"What it does not show: {text['shows_not']}")] if text.get("shows_not") else []),
        *(Paragraph(alarm.replace("(failures", "(../failures"), "warning") for alarm in alarms(one)),
        *note(one),
        Items(sentences(one)),
        *picture_parts(drawn, KINDS),
        Heading("Numbers", 3),
        load_table(one),
        server_table(one),
        Details("Every trial", [trial_table(one)]),
        Heading("Again"),
        Code(reproduce(question)),
        Details("The scenario's file", [Code(question.run["scenario_text"].rstrip())]),
    ]


def trial_table(one: Served) -> Table:
    rows = []
    for case in one.cases:
        for row in case.rows:
            rows.append(
                [
                    str(row["trial"]),
                    str(row["block"] + 1),
                    row["label"],
                    f"{row['outcome']} {row['codes'] or ''}".strip(),
                    f"{row['ready_ns'] / 1e9:.2f}" if row["ready_ns"] else "-",
                    f"{row['total_s']:.1f}" if row["total_s"] else "-",
                    f"{row['cpu_s']:.1f}" if row["cpu_s"] is not None else "-",
                    ", ".join(json.loads(row["survivors"] or "[]")) or "-",
                ]
            )
    rows.sort(key=lambda row: int(row[0]) % 1_000_000)
    return Table(
        ["Trial", "Block", "Tool", "Outcome", "First right answer (s)", "Total (s)", "CPU (s)", "Survivors"], rows
    )


def markdown_parts(one: Served, drawn: Mapping[str, Figure]) -> list[Part]:
    return [
        Heading(one.question.text["title"]),
        Paragraph(one.question.text["question"]),
        *(Paragraph(alarm.replace("(failures.html)", "(#failures)"), "warning") for alarm in alarms(one)),
        *note(one),
        Items(sentences(one)),
        *picture_parts(drawn, KINDS),
        load_table(one),
        server_table(one),
        Paragraph(provenance(one.question)),
        Code(reproduce(one.question)),
    ]


def summary(one: Served) -> dict[str, Any]:
    """For other programs."""
    run = one.question.run

    def plain_estimate(value: Estimate | None) -> dict[str, Any] | None:
        return dataclasses.asdict(value) if value else None

    return {
        "scenario": one.question.name,
        "devices": one.question.devices,
        "run": run["run"],
        "commit": run["commit"],
        "profile": run["profile"],
        "method_version": run["method_version"],
        "cases": [
            {
                "tool": case.label,
                "device": case.device,
                "workers": case.workers,
                "control": case.control,
                "outcomes": dict(collections.Counter(row["outcome"] for row in case.rows)),
                "ready_s": plain_estimate(ready(case)),
                "loads": [
                    {
                        "rate": rate,
                        "saturated": any(load.saturated for load in one.at(case, "server", rate)),
                        **{
                            f"p{quantile * 100:g}_ms": plain_estimate(
                                quantile_estimate(one.at(case, "server", rate), quantile)
                            )
                            for quantile in (0.5, 0.9, 0.99)
                        },
                        "cpu_per_1000_s": plain_estimate(
                            estimate([load.cpu_per_1000 for load in one.at(case, "server", rate)])
                        ),
                    }
                    for rate in one.rates
                ],
            }
            for case in one.cases
        ],
    }
