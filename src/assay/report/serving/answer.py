"""What a served question says: estimates, the control, and the answer in plain words. Pure."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

from assay import sequential
from assay import statistics as rules
from assay.measured import Case
from assay.report.figures import interval_text
from assay.served import Key, Load, Served, key
from assay.statistics import Comparison, Estimate

At = tuple[float, str, int]  # rate, device, replicas


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


def twins(one: Served, quantile: float = 0.5) -> list[tuple[At, Estimate, float | None]]:
    """The A/A control: by rate, device and replicas the twin's quantile over its original's, and the noise floor."""
    found = []
    for twin in (case for case in one.cases if case.control):
        original = one.question.case(one.question.control or "", twin.device, twin.workers)
        if not original:
            continue
        for rate in one.rates:
            first, second = (one.blocks(case, rate, quantile) for case in (twin, original))
            ratio, floor = rules.noise_floor(first, second)
            if ratio:
                found.append(((rate, twin.device, twin.workers), ratio, floor))
    return found


def differences(one: Served, quantile: float) -> dict[tuple[float, Key], Comparison]:
    """By rate and case the quantile over that of the control's original, paired by block; one family (M25)."""
    floors = {at: floor for at, _, floor in twins(one, quantile)}
    pairs = {}
    for case in one.cases:
        original = one.question.case(one.question.control or "", case.device, case.workers)
        if original and original is not case and not case.control:
            for rate in one.rates:
                value, base = (one.blocks(other, rate, quantile) for other in (case, original))
                floor = floors.get((rate, case.device, case.workers))
                pairs[rate, key(case)] = rules.Pair(value, base, floor)
    alpha = sequential.level(one.question.adaptive)
    return rules.compare(pairs, larger_is_faster=False, seed=one.question.run["seed"], alpha=alpha)


def joins(one: Served) -> bool:
    """Whether some server joins requests to batches."""
    rows = one.question.text["load"].get("rows", 1)
    return any((load.rows_per_call or 0) > 1.01 * rows for loads in one.loads.values() for load in loads)


def middle_rate(one: Served) -> float | None:
    return one.rates[len(one.rates) // 2] if one.rates else None


def ranked(one: Served, value: Callable[[Case], Estimate | None]) -> list[tuple[Case, Estimate]]:
    """Cases that have the value, smallest first; the control is left out."""
    found = [(case, at) for case in one.cases if not case.control and (at := value(case))]
    return sorted(found, key=lambda pair: pair[1].value)


def ready(case: Case) -> Estimate | None:
    return estimate([row["ready_ns"] / 1e9 for row in case.ok() if row["ready_ns"]])


def gains(one: Served) -> dict[Key, Estimate]:
    """By case with several replicas: what it answered at saturation over the same server with one, paired by block."""

    def saturated(case: Case) -> dict[int, float]:
        return {load.block: load.achieved for load in one.at(case, "offline")}

    found = {}
    for case in one.cases:
        single = one.question.case(case.label, case.device, 1)
        if single and case.workers > 1:
            ratio = rules.geometric(rules.ratios(saturated(case), saturated(single)))
            if ratio:
                found[key(case)] = ratio
    return found


def answering(one: Served, asked: Key) -> int | None:
    """In how many processes the model was called at saturation, at most; None where that was not counted."""
    loads = [load for case in one.cases if key(case) == asked for load in one.at(case, "offline")]
    return max((load.answering for load in loads if load.answering is not None), default=None)


def processes(count: int) -> str:
    return f"{count} process{'es' if count > 1 else ''}"


def sentences(one: Served) -> list[str]:
    """The answer in plain words, with values and n."""
    found = []
    for rate in one.rates:
        rows = ranked(one, lambda case, rate=rate: quantile_estimate(one.at(case, "server", rate), 0.99))  # type: ignore[misc]
        behind = [
            f"{title(one, case)} ({saturated} of {len(loads)})"
            for case in one.cases
            if not case.control
            and (loads := one.at(case, "server", rate))
            and (saturated := sum(load.saturated for load in loads))
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
            text += (
                f" At {rate:g} requests/s on {server_cores(one)} these fell behind, in so many of their valid loads: "
                f"{', '.join(sorted(behind))}."
            )
        if text:
            found.append(text.strip())
    starts = ranked(one, ready)
    if starts:
        (quick, low), (slow, high) = starts[0], starts[-1]
        found.append(
            f"From the call to the first right answer took {interval_text(low, 's')} with **{title(one, quick)}** and "
            f"{interval_text(high, 's')} with **{title(one, slow)}**."
        )
    more = sorted(gains(one).items(), key=lambda pair: pair[1].value)
    if more:
        (fewest, least), (highest, most) = more[0], more[-1]
        replicas = f"At saturation {highest[2]} replicas of **{highest[0]}**"
        text = f"{replicas} answered {interval_text(most)} times as much as one"
        if fewest != highest:
            text += f", the most; {fewest[2]} of **{fewest[0]}** {interval_text(least)} times, the least"
            called = answering(one, fewest)
            text += f", its model called in {processes(called)}" if called else ""
        found.append(f"{text}.")
    middle = middle_rate(one)
    if middle:
        costs = ranked(one, lambda case: estimate([load.cpu_per_1000 for load in one.at(case, "server", middle)]))
        if costs:
            (cheap, low), (dear, high) = costs[0], costs[-1]
            found.append(
                f"A thousand requests at {middle:g}/s cost {interval_text(low, 's')} of CPU with "
                f"**{title(one, cheap)}** and {interval_text(high, 's')} with **{title(one, dear)}**."
            )
    judged = differences(one, 0.99)
    for rate in one.rates:
        words: dict[str, list[str]] = {}
        for (at, name), comparison in judged.items():
            if at == rate and comparison.word != "no verdict":
                words.setdefault(comparison.word, []).append(name[0])
        if words:
            parts = [f"{verdict}: {', '.join(sorted(labels))}" for verdict, labels in sorted(words.items())]
            found.append(f"By p99 at {rate:g}/s, against {one.question.control}: {'; '.join(parts)}.")
    ratios = [f"{interval_text(ratio)} at {rate:g}/s" for (rate, *_), ratio, _ in twins(one)]
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
    for (rate, *_), ratio, floor in twins(one):
        if ratio.low is not None and floor is None:
            found.append(
                f"A/A control missed: {one.question.control} against itself at {rate:g} requests/s gave "
                f"{interval_text(ratio)}. Differences at that rate are not to be trusted; repeat the run."
            )
    if one.question.run["dirty"]:
        found.append("Measured from a checkout with uncommitted changes.")
    return found


def bracket(case: Case) -> str:
    """Highest rate that passed and lowest that failed, of every trial."""
    found = []
    for row in case.ok():
        if row["slo_quantile"]:
            low = f"{row['slo_low']:.4g}" if row["slo_low"] else "none"
            high = f"{row['slo_high']:.4g}" if row["slo_high"] else "none"
            found.append(f"[{low}, {high}]")
    return ", ".join(found) or "-"


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
