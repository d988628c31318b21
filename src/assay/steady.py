"""Whether a window was steady: change points of its step times, after the warm-up was discarded (M28 to M30). Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

LEAST = 5  # values between two changes
PENALTY = 3.0  # times log n
LEAST_CHANGE = 0.05  # as statistics.MARGIN: what is equivalent is no change
UNSTEADY = ("slowdown", "no steady state")
LAST_QUARTER = 0.75


def classify(times: Sequence[float]) -> str:
    """Class of a series of times, smaller is faster: `steady`, `warm-up`, `slowdown` or `no steady state`.

    A change in the last quarter means that there was no steady state; else the last change says which (M30).
    """
    changes = change_points(times)
    if not changes:
        return "steady"
    last = changes[-1]
    if last >= LAST_QUARTER * len(times):
        return "no steady state"
    before = times[changes[-2] if len(changes) > 1 else 0 : last]
    return "warm-up" if numpy.median(times[last:]) < numpy.median(before) else "slowdown"


def change_points(values: Sequence[float]) -> list[int]:
    """Where the mean changes: index of the first value of each segment but the first.

    Values are clipped to Tukey's fences, so that a single outlier is no change, and divided by the noise's
    deviation (from first differences, which a change of the mean hardly touches). Then the segments of least
    squared deviation plus a penalty a segment are found exactly, by dynamic programming (M29; the same optimum as
    PELT, Killick et al. 2012, which only prunes).
    """
    series = numpy.asarray(values, dtype=numpy.float64)
    if len(series) < 2 * LEAST:
        return []
    # Before clipping, which would make the clipped part look free of noise.
    steps = numpy.diff(series)
    deviation = 1.4826 * numpy.median(numpy.abs(steps - numpy.median(steps))) / 2**0.5
    low, high = numpy.quantile(series, (0.25, 0.75))
    reach = 1.5 * (high - low)
    series = numpy.clip(series, low - reach, high + reach)
    if deviation == 0:
        return []
    found = segments(series / deviation, PENALTY * float(numpy.log(len(series))))
    # A busy machine's times wander by less than anybody would call a difference; that is noise and no other state.
    return [change for change in found if apart(series, found, change) >= LEAST_CHANGE]


def apart(series: numpy.ndarray, changes: Sequence[int], change: int) -> float:
    """Relative difference of the means of the two segments that meet at a change."""
    place = changes.index(change)
    start = changes[place - 1] if place else 0
    end = changes[place + 1] if place + 1 < len(changes) else len(series)
    before, after = series[start:change].mean(), series[change:end].mean()
    return float(abs(after / before - 1))


def segments(series: numpy.ndarray, penalty: float) -> list[int]:
    """Optimal partition of a series by squared deviation from segment means, at least LEAST values each."""
    count = len(series)
    # Centred, so that the running sums of squares keep their digits.
    series = series - series.mean()
    sums = numpy.concatenate([[0.0], numpy.cumsum(series)])
    squares = numpy.concatenate([[0.0], numpy.cumsum(series**2)])
    best = numpy.full(count + 1, numpy.inf)
    best[0] = -penalty
    origin = numpy.zeros(count + 1, dtype=numpy.int64)
    for end in range(LEAST, count + 1):
        starts = numpy.arange(end - LEAST + 1)
        cost = squares[end] - squares[starts] - (sums[end] - sums[starts]) ** 2 / (end - starts)
        total = best[starts] + cost + penalty
        origin[end] = total.argmin()
        best[end] = total[origin[end]]
    found = []
    end = count
    while end := int(origin[end]):
        found.append(end)
    return found[::-1]
