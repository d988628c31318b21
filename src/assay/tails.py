"""What a finite number of requests can say about a tail, and when a rate under a bound is decided. Pure.

Rules M44 to M48. The early-stopping test is MLPerf Inference's (LoadGen, early_stopping.cc).
"""

from __future__ import annotations

import functools
import math

CONFIDENCE = 0.99
SATURATED = 0.99  # a server that completes less of what was fired has fallen behind


@functools.lru_cache(maxsize=4096)
def most_over(count: int, quantile: float) -> int | None:
    """The largest number of requests over a bound with which `quantile` of them is still within it.

    None where `count` is too small to say anything.
    """
    from scipy.stats import binom

    low, high = 0, count
    if count == 0 or binom.cdf(0, count, 1 - quantile) > 1 - CONFIDENCE:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if binom.cdf(middle, count, 1 - quantile) <= 1 - CONFIDENCE:
            low = middle
        else:
            high = middle - 1
    return low


def within(over: int, count: int, quantile: float) -> bool:
    """Whether `quantile` is within the bound, with `over` requests out of `count` above it."""
    allowed = most_over(count, quantile)
    return allowed is not None and over <= allowed


@functools.lru_cache(maxsize=64)
def least_count(quantile: float, over: int = 0) -> int:
    """The smallest number of requests that can show `quantile` with `over` of them above the bound."""
    from scipy.stats import binom

    low, high = over + 1, 1
    while binom.cdf(over, high, 1 - quantile) > 1 - CONFIDENCE:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        if binom.cdf(over, middle, 1 - quantile) <= 1 - CONFIDENCE:
            high = middle
        else:
            low = middle + 1
    return low


class Search:
    """The largest rate under a bound, as a bracket: ladder, bisection, confirmation (M48).

    Ask `rate` what to offer next and tell `decide` whether it passed; `bracket` is the result once `rate` is
    None. A rate is offered `SEEDS` times with different schedules and passes by majority; the highest pass is
    confirmed `CONFIRMATIONS` times and given up for the one below where too few of them pass.
    """

    SEEDS, MAJORITY = 3, 2
    CONFIRMATIONS, CONFIRMED = 5, 4
    RESOLUTION = 1.05
    STEP = 2.0

    def __init__(self, start: float, ceiling: float = math.inf, floor: float = 0.25) -> None:
        self.current: float | None = start
        self.ceiling, self.floor = ceiling, floor  # below the floor the bound is taken as out of reach
        self.votes: list[bool] = []
        self.passed: list[float] = []
        self.failed: list[float] = []
        self.confirming = False

    @property
    def rate(self) -> float | None:
        return self.current

    @property
    def bracket(self) -> tuple[float | None, float | None]:
        """Highest rate that passed and lowest that failed; None where there is none."""
        return max(self.passed, default=None), min(self.failed, default=None)

    def decide(self, passed: bool) -> None:
        """The outcome of one schedule at `rate`."""
        assert self.current is not None
        self.votes.append(passed)
        yes = sum(self.votes)
        no = len(self.votes) - yes
        if self.confirming:
            if yes >= self.CONFIRMED:
                self.current = None
            elif no > self.CONFIRMATIONS - self.CONFIRMED:
                self.passed.remove(self.current)
                self.failed.append(self.current)
                self.votes = []
                self.current = max(self.passed, default=None)
            return
        if yes < self.MAJORITY and no <= self.SEEDS - self.MAJORITY:
            return
        (self.passed if yes >= self.MAJORITY else self.failed).append(self.current)
        self.votes = []
        self.current = self.following()

    def give_up(self) -> None:
        """`rate` cannot be decided: end with what is known."""
        self.current = None

    def following(self) -> float | None:
        high, low = self.bracket
        if high is None:
            assert low is not None
            return low / self.STEP if low / self.STEP >= self.floor else None
        if low is None:
            if high >= self.ceiling:
                self.confirming = True
                return high
            return min(high * self.STEP, self.ceiling)
        if low / high > self.RESOLUTION:
            return math.sqrt(low * high)
        self.confirming = True
        return high
