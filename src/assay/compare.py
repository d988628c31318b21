"""Two runs, or two tools of one run, side by side: what differs between them, and by how much their figures do. Pure.

Blocks of one run are pairs. Two runs share no block: their trials are compared unpaired (Welch's t on logs), and
whatever changed between their days is in the difference.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay import sequential
from assay import statistics as rules
from assay.errors import UsageError
from assay.measured import THROUGHPUT, Case, Metric, Question
from assay.report.answer import answer, steadily
from assay.report.serving.answer import twins
from assay.served import Served
from assay.statistics import Comparison, Estimate, Pair

# Facts of a machine that forbid a comparison where they differ (M69); all others are soft.
HARD = ("cpu", "architecture", "cores", "threads", "cpuset", "cpu_limit", "memory_bytes", "memory_limit_bytes", "gpus")
# Keys of a scenario that decide the work; the rest says how often and for how long it is measured.
WORK = (
    *("capability", "workload", "seed", "options", "batch", "batch_per_worker", "optimizer", "quality"),
    *("load", "infer", "variants", "cluster"),
)
TAIL = 0.99


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """A run, or one tool of it: `RUN` or `RUN:TOOL`."""

    run: str
    label: str | None

    def __str__(self) -> str:
        return f"{self.run}:{self.label}" if self.label else self.run


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same on both sides."""

    what: str
    first: str
    second: str
    hard: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One metric of one case on both sides."""

    case: str
    tool: str
    metric: Metric
    first: Estimate
    second: Estimate
    comparison: Comparison  # of the second, the first being 1
    floor: float | None  # the larger noise floor of both sides


def side(text: str, known: Sequence[str]) -> Side:
    """`RUN` or `RUN:TOOL`, the run by its name or the beginning of it. Raises UsageError."""
    name, _, label = text.partition(":")
    found = [run for run in known if run.startswith(name)] if name else []
    if len(found) != 1:
        which = f"begins {len(found)} runs: {', '.join(found)}" if found else "is no run; see assay list runs"
        raise UsageError(f"{text}: {name!r} {which}")
    return Side(found[0], label or None)


def differences(
    first: Question, second: Question, packages: tuple[Mapping[str, set[str]], Mapping[str, set[str]]]
) -> list[Difference]:
    """What differs beside the figures, hard ones first; `packages` are those of each tool on both sides."""
    found = [
        Difference(f"work: {key}", shown(first.text.get(key)), shown(second.text.get(key)), hard=True)
        for key in WORK
        if first.text.get(key) != second.text.get(key)
    ]
    for key in ("method_version", "profile", "commit", "dirty", "assay"):
        if first.run[key] != second.run[key]:
            hard = key == "method_version"
            found.append(Difference(key, shown(first.run[key]), shown(second.run[key]), hard))
    inputs, others = (json.loads(one.run["inputs"] or "{}") for one in (first, second))
    for name in sorted(inputs.keys() | others.keys()):
        if inputs.get(name) != others.get(name):
            found.append(Difference(f"input {name}", shown(inputs.get(name)), shown(others.get(name)), hard=True))
    machine, other = (json.loads(one.run["machine"]) for one in (first, second))
    for fact in sorted(machine.keys() | other.keys()):
        if machine.get(fact) != other.get(fact):
            hard = fact in HARD and hardware(machine)[fact] != hardware(other)[fact]
            found.append(Difference(f"machine: {fact}", shown(machine.get(fact)), shown(other.get(fact)), hard))
    for tool in sorted(packages[0].keys() & packages[1].keys()):
        here, there = packages[0][tool] - packages[1][tool], packages[1][tool] - packages[0][tool]
        if here or there:
            found.append(Difference(f"packages of {tool}", shown(sorted(here)), shown(sorted(there)), hard=False))
    return sorted(found, key=lambda one: not one.hard)


def hardware(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two machines the same kind. Memory to a tenth of a GiB: another kernel keeps more of it to itself."""
    return {
        fact: round(value / 2**30, 1) if fact.startswith("memory") and (value := facts.get(fact)) else facts.get(fact)
        for fact in HARD
    }


def shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def trained(first: Question, second: Question, sides: tuple[Side, Side]) -> list[Row]:
    """Throughput of every case that both have, as one family."""
    metric, same = THROUGHPUT, first.run["run"] == second.run["run"]
    pairs, tools, cases = {}, {}, {}
    for one, other in matching(first.cases, second.cases, sides):
        name = word(one, other)
        cases[name] = one, other
        floors = [answer(question, one.device).floors.get(one.workers, (None, None))[1] for question in (first, second)]
        pairs[name] = Pair(other.values(metric), one.values(metric), largest(floors), paired=same)
        tools[name] = other.tool
    alpha = min(sequential.level(question.adaptive) for question in (first, second))
    judged = rules.compare(pairs, larger_is_faster=True, seed=first.run["seed"], alpha=alpha)
    steady = {name: steadily(judged[name], other, one) for name, (one, other) in cases.items() if name in judged}
    return list(rows(metric, pairs, tools, steady))


def served(first: Served, second: Served, sides: tuple[Side, Side]) -> list[Row]:
    """p99 of the response at every rate that both were offered, as one family."""
    metric, same = Metric("p99", "Response p99", "ms"), first.question.run["run"] == second.question.run["run"]
    known = [{at: floor for at, _, floor in twins(one, TAIL)} for one in (first, second)]
    pairs, tools = {}, {}
    for one, other in matching(first.cases, second.cases, sides):
        for rate in sorted(set(first.rates) & set(second.rates)):
            name = f"{word(one, other)} at {rate:g}/s"
            value, base = second.blocks(other, rate, TAIL), first.blocks(one, rate, TAIL)
            floor = largest([floors.get((rate, one.device, one.workers)) for floors in known])
            pairs[name] = Pair(value, base, floor, paired=same)
            tools[name] = other.tool
    seed = first.question.run["seed"]
    alpha = min(sequential.level(one.question.adaptive) for one in (first, second))
    return list(rows(metric, pairs, tools, rules.compare(pairs, larger_is_faster=False, seed=seed, alpha=alpha)))


def word(one: Case, other: Case) -> str:
    tools = one.label if one.label == other.label else f"{other.label} against {one.label}"
    return f"{tools} ×{one.workers} {one.device}"


def largest(floors: Sequence[float | None]) -> float | None:
    """Of the noise floors of both sides; None where one has none, for then there is no verdict."""
    known = [floor for floor in floors if floor is not None]
    return max(known) if len(known) == len(floors) else None


def matching(first: Sequence[Case], second: Sequence[Case], sides: tuple[Side, Side]) -> Iterator[tuple[Case, Case]]:
    """Cases to compare: the same on both sides, or of the tools that the sides name."""
    a, b = sides[0].label or sides[1].label, sides[1].label or sides[0].label
    for one in first:
        for other in second:
            alike = (one.device, one.workers) == (other.device, other.workers)
            itself = (sides[0].run, one.label) == (sides[1].run, other.label)
            if alike and (one.label, other.label) == (a or one.label, b or one.label) and not itself:
                yield one, other


def rows(
    metric: Metric, pairs: Mapping[str, Pair], tools: Mapping[str, str], judged: Mapping[str, Comparison]
) -> Iterator[Row]:
    for name, comparison in judged.items():
        first, second = (rules.geometric(list(side.values())) for side in (pairs[name].base, pairs[name].value))
        assert first
        assert second
        yield Row(name, tools[name], metric, first, second, comparison, pairs[name].floor)
