"""MoSCoW: gates that a tool must pass, weighed figures, and how much the order depends on the weights. Pure.

The score of a tool is the weighted mean of its log ratios to the best tool, so it is 0 for a tool that is best in
everything and log(1/2) for one that is half as good in everything. What nobody measured is bounded by the best and the
worst of the others.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy
import pydantic
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from assay.backing import Backed
from assay.badge import BADGES
from assay.claims import Table
from assay.errors import ClaimsError
from assay.statistics import LEAST_BLOCKS

DRAWS = 10_000
ROBUST = 0.60  # below this probability of the first place there is no robust winner
SHIFT = 0.5  # each weight is tried that much larger and smaller
FACTORS = tuple(2 ** (step / 4) for step in range(1, 41))  # a weight is changed by up to a factor of 1,024


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Figure(Model):
    """A number of a scenario, one a trial."""

    scenario: str
    metric: str
    workers: int | None = None
    rate: float | None = None


class ClaimGate(Model):
    """A cell whose badge must be one of these; a badge that says nothing is not a pass."""

    claim: str
    allowed: list[str] = Field(alias="is", min_length=1)


class FigureGate(Figure):
    name: str
    at_most: float | None = None
    at_least: float | None = None


class Criterion(Figure):
    name: str
    larger: bool  # is better
    weight: PositiveFloat


class Wont(Model):
    claim: str
    reason: str


class Moscow(Model):
    must: list[ClaimGate | FigureGate] = []
    should: list[Criterion] = Field(min_length=1)
    could: list[Criterion] = []
    wont: list[Wont] = []

    @property
    def criteria(self) -> list[Criterion]:
        return [*self.should, *self.could]


Values = Mapping[str, Sequence[float]]  # tool to its trial values
Gate = Literal["passed", "missed", "unknown"]


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """Of a tool that passes every gate."""

    tool: str
    score: float  # mean log ratio to the best, weighed; None of the criteria missing
    low: float  # with what is missing as bad as the worst
    high: float  # and as good as the best
    contributions: tuple[float | None, ...]  # of each criterion; they sum to the score
    ranks: tuple[float, ...]  # probability of each place


@dataclasses.dataclass(frozen=True, slots=True)
class Ranking:
    moscow: Moscow
    gates: dict[str, list[tuple[str, Gate, str]]]  # tool to a gate's name, its state and why
    scores: list[Score]  # best first
    fewest: int  # trials behind any of the figures
    winners: list[tuple[str, str, str]]  # criterion, the winner with half as much and with half more of its weight
    flip: str  # the smallest change of one weight that makes another tool the first

    @property
    def winner(self) -> str | None:
        """None where the first place is not robust, or rests on fewer trials than any verdict does."""
        best = max(self.scores, key=lambda one: one.ranks[0], default=None)
        return best.tool if best and best.ranks[0] >= ROBUST and self.fewest >= LEAST_BLOCKS else None


def load(path: Path, table: Table | None = None) -> Moscow | None:
    """The file of a component, if it has one; the rows it names are those of `table`. Raises ClaimsError."""
    if not path.exists():
        return None
    try:
        moscow = Moscow.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except pydantic.ValidationError as error:
        raise ClaimsError(
            "\n".join(f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        ) from error
    except (OSError, ValueError) as fault:
        raise ClaimsError(f"{path}: {fault}") from fault
    named = [one.claim for one in (*moscow.must, *moscow.wont) if isinstance(one, ClaimGate | Wont)]
    faults = [f"{path}: {claim!r} is no row of the table" for claim in named if table and claim not in table.rows]
    faults += [
        f"{path}: {gate.claim!r}: {word!r} is no badge; there are {', '.join(BADGES)}"
        for gate in moscow.must
        if isinstance(gate, ClaimGate)
        for word in gate.allowed
        if word not in BADGES
    ]
    faults += [
        f"{path}: {gate.name!r} has neither at_most nor at_least: everything would pass"
        for gate in moscow.must
        if isinstance(gate, FigureGate) and gate.at_most is None and gate.at_least is None
    ]
    if faults:
        raise ClaimsError("\n".join(faults))
    return moscow


def judge(moscow: Moscow, backed: Backed, values_of: Callable[[Figure], Values]) -> Ranking:
    """The columns of a table that have a tool here; `values_of` gives a figure's trial values by tool."""
    columns = {name: column.tool for name, column in backed.table.columns.items() if column.tool}

    def by_column(figure: Figure) -> Values:
        values = values_of(figure)
        return {name: values[tool] for name, tool in columns.items() if values.get(tool)}

    gates: dict[str, list[tuple[str, Gate, str]]] = {name: [] for name in columns}
    for asked in moscow.must:
        if isinstance(asked, ClaimGate):
            for name in columns:
                cell = backed.cells.get((asked.claim, name))
                word = cell.found.word if cell else "no such row"
                holds = cell.found.holds if cell else None
                missed: Gate = "missed" if holds is False or word == "failed" else "unknown"
                passed = word in asked.allowed and holds is not False
                gates[name].append((asked.claim, "passed" if passed else missed, word))
        else:
            values = by_column(asked)
            for name in columns:
                gates[name].append((asked.name, *gate(values.get(name, ()), asked)))
    return rank(moscow, gates, [by_column(one) for one in moscow.criteria])


def gate(value: Sequence[float], asked: FigureGate) -> tuple[Gate, str]:
    """A figure's gate: the geometric mean of its trials against the bound."""
    if not value:
        return "unknown", "not measured"
    mean = math.exp(statistics.fmean(map(math.log, value)))
    passed = (asked.at_most is None or mean <= asked.at_most) and (asked.at_least is None or mean >= asked.at_least)
    return ("passed" if passed else "missed"), f"{mean:.4g} (n = {len(value)})"


def rank(
    moscow: Moscow,
    gates: dict[str, list[tuple[str, Gate, str]]],
    figures: Sequence[Values],
    seed: int = 0,
) -> Ranking:
    """The tools that pass every gate, in order; `figures` are the values of `moscow.criteria`, in their order."""
    criteria = moscow.criteria
    tools = sorted(tool for tool, states in gates.items() if all(state == "passed" for _, state, _ in states))
    tools = [tool for tool in tools if any(values.get(tool) for values in figures)]
    if not tools:
        return Ranking(moscow, gates, [], 0, [], "")
    weights = numpy.array([one.weight for one in criteria])
    means = numpy.array(
        [
            [statistics.fmean(map(math.log, values[tool])) if values.get(tool) else math.nan for tool in tools]
            for values in figures
        ]
    )
    signs = numpy.array([1.0 if one.larger else -1.0 for one in criteria])[:, None]
    losses = relative(signs * means)
    points = totals(losses, weights, at=numpy.nanmean)
    order = numpy.argsort(-points, kind="stable")
    probabilities = places(tools, figures, signs, weights, seed)
    low, high = (totals(losses, weights, at=at) for at in (numpy.nanmin, numpy.nanmax))
    share = weights / weights.sum()
    scores = [
        Score(
            tool=tools[index],
            score=float(points[index]),
            low=float(low[index]),
            high=float(high[index]),
            contributions=tuple(
                None if math.isnan(mean) else float(loss * part)
                for mean, loss, part in zip(means[:, index], losses[:, index], share, strict=True)
            ),
            ranks=tuple(float(value) for value in probabilities[index]),
        )
        for index in order
    ]
    winners = []
    for place, one in enumerate(criteria):
        changed = [
            tools[int(numpy.argmax(totals(losses, scaled(weights, place, factor), at=numpy.nanmean)))]
            for factor in (1 - SHIFT, 1 + SHIFT)
        ]
        winners.append((one.name, changed[0], changed[1]))
    fewest = min(len(values[tool]) for values in figures for tool in tools if values.get(tool))
    return Ranking(moscow, gates, scores, fewest, winners, smallest_flip(criteria, losses, weights, tools))


def relative(values: numpy.ndarray) -> numpy.ndarray:
    """Log ratios to the best of each criterion, 0 at most, of shape (criteria, tools); NaN stays."""
    if numpy.isnan(values).all(axis=1).any():
        values = numpy.where(numpy.isnan(values).all(axis=1)[:, None], 0.0, values)  # nobody has it: it weighs nothing
    found: numpy.ndarray = values - numpy.nanmax(values, axis=1, keepdims=True)
    return found


def totals(losses: numpy.ndarray, weights: numpy.ndarray, at: object) -> numpy.ndarray:
    """Weighed means a tool; what is missing stands at the mean, the worst or the best of the others."""
    stand_in = at(losses, axis=1, keepdims=True)  # type: ignore[operator]
    filled = numpy.where(numpy.isnan(losses), stand_in, losses)
    found: numpy.ndarray = weights @ filled / weights.sum()
    return found


def scaled(weights: numpy.ndarray, place: int, factor: float) -> numpy.ndarray:
    changed = weights.copy()
    changed[place] *= factor
    return changed


def places(
    tools: Sequence[str], figures: Sequence[Values], signs: numpy.ndarray, weights: numpy.ndarray, seed: int
) -> numpy.ndarray:
    """Probability of each place, of shape (tools, places): weights drawn around those given, trials resampled."""
    generator = numpy.random.default_rng(seed)
    # A Dirichlet with the weights as its parameters has their shares as its mean.
    drawn = generator.dirichlet(weights, DRAWS)
    logs = numpy.full((DRAWS, len(figures), len(tools)), math.nan)
    for row, values in enumerate(figures):
        for column, tool in enumerate(tools):
            if own := values.get(tool):
                trials = numpy.log(numpy.asarray(own))
                logs[:, row, column] = trials[generator.integers(0, len(trials), (DRAWS, len(trials)))].mean(axis=1)
    logs *= signs
    absent = numpy.isnan(logs).all(axis=2)
    logs[absent] = 0.0
    losses = logs - numpy.nanmax(logs, axis=2, keepdims=True)
    filled = numpy.where(numpy.isnan(losses), numpy.nanmean(losses, axis=2, keepdims=True), losses)
    points = numpy.einsum("dc,dct->dt", drawn, filled)
    order = numpy.argsort(numpy.argsort(-points, axis=1, kind="stable"), axis=1)
    return numpy.stack([(order == place).mean(axis=0) for place in range(len(tools))], axis=1)


def smallest_flip(
    criteria: Sequence[Criterion], losses: numpy.ndarray, weights: numpy.ndarray, tools: Sequence[str]
) -> str:
    """The smallest factor on one weight that changes the first place, in words; empty where none does."""
    first = int(numpy.argmax(totals(losses, weights, at=numpy.nanmean)))
    for factor in FACTORS:
        for place, one in enumerate(criteria):
            for change in (factor, 1 / factor):
                winner = int(numpy.argmax(totals(losses, scaled(weights, place, change), at=numpy.nanmean)))
                if winner != first:
                    return f"{one.name}: {change:.2g} times its weight makes {tools[winner]} the first"
    return ""
