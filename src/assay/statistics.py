"""From trial values to intervals and verdict words. Pure; each rule names its number in the method page.

One number a trial and metric (M10); trials of one block are pairs (M18). Formulas: the paired t interval on
log ratios after Kalibera & Jones 2013 (doi 10.1145/2464157.2464160), TOST after Schuirmann 1987, Holm 1979.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy
from scipy import stats

LEVEL = 0.95
LEAST_BLOCKS = 5  # below it no interval is given (M20)
MARGIN = 0.05  # equivalence (M24)
ALPHA = 0.05
RESAMPLES = 9999

K = TypeVar("K", bound=Hashable)


@dataclasses.dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval; `low` and `high` are None where n is too small for one."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """One tool against the base: ratio base = 1, and how it was decided."""

    ratio: Estimate
    p: float | None  # two-sided, adjusted for the family
    p_equivalent: float | None  # TOST, adjusted for its family
    word: str  # faster, slower, equivalent within 5 %, undecided, no verdict
    pair: Pair
    more_blocks: int | None = None  # that would decide an undecided one

    @property
    def settled(self) -> bool:
        """Whether more blocks would hardly change the word: equivalent tools that do differ may yet be told apart."""
        seen = self.pair.floor is None or abs(math.log(self.ratio.value)) > self.pair.floor
        return self.word in ("faster", "slower") or (self.word.startswith("equivalent") and not seen)

    def sensitivity(self, seed: int) -> tuple[float, float] | None:
        """The same ratio's interval by the bootstrap, where there are blocks enough for one (M19)."""
        return None if self.ratio.low is None else bootstrap_interval(self.pair, seed)

    @property
    def verdict(self) -> str:
        """The word, and what a reader should know beside it."""
        if self.word in ("faster", "slower") and within(self.ratio, MARGIN):
            return f"{self.word}, by less than {MARGIN:.0%}".replace("%", " %")
        if self.word == "undecided" and self.more_blocks:
            return f"undecided, about {self.more_blocks} more blocks would decide"
        return "undecided, no difference seen" if self.word == "undecided" else self.word


def geometric(values: Sequence[float]) -> Estimate | None:
    """Geometric mean with the t interval of the log values; None for no values."""
    if not values:
        return None
    logs = numpy.log(values)
    centre = float(numpy.exp(logs.mean()))
    if len(values) < LEAST_BLOCKS:
        return Estimate(centre, None, None, len(values))
    if numpy.ptp(logs) == 0:
        return Estimate(centre, centre, centre, len(values))
    interval = stats.ttest_1samp(logs, 0).confidence_interval(LEVEL)
    return Estimate(centre, float(numpy.exp(interval.low)), float(numpy.exp(interval.high)), len(values))


def ratios(value: Mapping[int, float], base: Mapping[int, float]) -> list[float]:
    """Per-block ratios; a block that lacks one side is dropped for this pair only (M14)."""
    return [value[block] / base[block] for block in sorted(value.keys() & base.keys())]


def bootstrap_interval(pair: Pair, seed: int) -> tuple[float, float]:
    """Shown beside the t interval (M19): percentile bootstrap of the ratio of medians, pairs kept."""
    blocks = pair.blocks if pair.paired else None
    result = stats.bootstrap(
        tuple([side[block] for block in blocks or sorted(side)] for side in (pair.value, pair.base)),
        lambda a, b, axis: numpy.median(a, axis=axis) / numpy.median(b, axis=axis),
        paired=pair.paired,
        vectorized=True,
        method="percentile",
        n_resamples=RESAMPLES,
        rng=numpy.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the i-th smallest of m is multiplied by m - i + 1, kept monotone."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """A tool's values and its base's, by block, and the noise floor as |log ratio|; None: there is no floor.

    Blocks of different runs are no pairs: there `paired` is False, and n is that of the smaller side (M21).
    """

    value: Mapping[int, float]
    base: Mapping[int, float]
    floor: float | None
    paired: bool = True

    @property
    def blocks(self) -> list[int]:
        return sorted(self.value.keys() & self.base.keys())

    @property
    def n(self) -> int:
        return len(self.blocks) if self.paired else min(len(self.value), len(self.base))

    @property
    def ratio(self) -> Estimate | None:
        """Geometric mean of the ratios with its interval: paired t, or Welch's on the logs of both sides."""
        if self.paired:
            return geometric(ratios(self.value, self.base))
        if not self.n:
            return None
        first, second = self.logs
        centre = math.exp(numpy.mean(first) - numpy.mean(second))
        if self.n < LEAST_BLOCKS:
            return Estimate(centre, None, None, self.n)
        if numpy.ptp(first) == numpy.ptp(second) == 0:
            return Estimate(centre, centre, centre, self.n)
        interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(LEVEL)
        return Estimate(centre, math.exp(interval.low), math.exp(interval.high), self.n)

    @property
    def logs(self) -> tuple[list[float], list[float]]:
        """Log ratios and zero where paired; else the logs of both sides."""
        if self.paired:
            return [math.log(ratio) for ratio in ratios(self.value, self.base)], [0.0]
        return [math.log(x) for x in self.value.values()], [math.log(x) for x in self.base.values()]

    def p(self, shift: float = 0.0, alternative: str = "two-sided") -> float:
        """Of a mean log ratio of `shift`."""
        first, second = self.logs
        if numpy.ptp(first) == numpy.ptp(second) == 0:
            apart = first[0] - second[0] - shift
            holds = {"two-sided": apart != 0, "greater": apart > 0, "less": apart < 0}[alternative]
            return 0.0 if holds else 1.0
        if self.paired:
            return float(stats.ttest_1samp(first, shift, alternative=alternative).pvalue)
        moved = [value - shift for value in first]
        return float(stats.ttest_ind(moved, second, equal_var=False, alternative=alternative).pvalue)

    def p_equivalent(self, margin: float = MARGIN) -> float:
        """TOST: the larger of the two one-sided p values at the margins (M24)."""
        bound = math.log1p(margin)
        return max(self.p(-bound, "greater"), self.p(bound, "less"))


def compare(
    pairs: Mapping[K, Pair], *, larger_is_faster: bool, seed: int, margin: float = MARGIN, alpha: float = ALPHA
) -> dict[K, Comparison]:
    """Every pair of a table, as one family (M23 to M25), judged at `alpha`.

    Without enough common blocks, or without a noise floor, there is a ratio and no verdict.
    """
    judged = [key for key, pair in pairs.items() if pair.n >= LEAST_BLOCKS]
    different = dict(zip(judged, holm([pairs[key].p() for key in judged]), strict=True))
    equivalent = dict(zip(judged, holm([pairs[key].p_equivalent(margin) for key in judged]), strict=True))
    found = {}
    for key, pair in pairs.items():
        ratio = pair.ratio
        if ratio is None:
            continue
        if key not in different or pair.floor is None:
            found[key] = Comparison(ratio, different.get(key), equivalent.get(key), "no verdict", pair)
            continue
        word = decide(ratio, different[key], equivalent[key], pair.floor, larger_is_faster, margin, alpha)
        more = None
        if word == "undecided" and pair.paired and abs(math.log(ratio.value)) > pair.floor:
            more = max(1, blocks_needed(pair.logs[0], alpha / len(judged)) - pair.n)
        found[key] = Comparison(ratio, different[key], equivalent[key], word, pair, more)
    return found


def decide(
    ratio: Estimate,
    p: float,
    p_same: float,
    floor: float,
    larger_is_faster: bool,
    margin: float = MARGIN,
    alpha: float = ALPHA,
) -> str:
    """The verdict word (M23), an established difference before equivalence: a small one is still one."""
    if p < alpha and abs(math.log(ratio.value)) > floor:
        return "faster" if (ratio.value > 1) == larger_is_faster else "slower"
    if within(ratio, margin) and p_same < alpha:
        return f"equivalent within {margin:.0%}".replace("%", " %")
    return "undecided"


def within(ratio: Estimate, margin: float) -> bool:
    """Whether the whole interval lies inside the equivalence margin."""
    return (
        ratio.low is not None and ratio.high is not None and 1 / (1 + margin) <= ratio.low and ratio.high <= 1 + margin
    )


def blocks_needed(logs: Sequence[float], alpha: float = ALPHA) -> int:
    """Blocks after which an effect of this size and spread is significant at `alpha`; at most 1,000."""
    effect, spread = abs(statistics.mean(logs)), statistics.stdev(logs)
    if effect == 0:
        return 1000
    for n in range(LEAST_BLOCKS, 1000):
        if stats.t.ppf(1 - alpha / 2, n - 1) * spread / math.sqrt(n) < effect:
            return n
    return 1000


def resolution(logs: Sequence[float]) -> float:
    """The smallest relative effect that this many blocks of this spread could resolve (M22)."""
    n = len(logs)
    return float(math.expm1(stats.t.ppf(0.5 + LEVEL / 2, n - 1) * statistics.stdev(logs) / math.sqrt(n)))


def noise_floor(twin: Mapping[int, float], original: Mapping[int, float]) -> tuple[Estimate | None, float | None]:
    """The A/A ratio and the floor: how far the control is from itself, as |log ratio| (M13).

    The floor is None where there is no interval, or where it excludes 1: then there are no verdicts. The far end of
    that interval as a floor would cost half of the campaigns that now find 3 % at ten blocks (docs/measurement.md).
    """
    ratio = geometric(ratios(twin, original))
    if ratio is None or ratio.low is None or ratio.high is None or not ratio.low <= 1 <= ratio.high:
        return ratio, None
    return ratio, abs(math.log(ratio.value))
