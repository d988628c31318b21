"""Models of scaling, fitted only where there are points enough (M64): Amdahl's law and Gunther's USL.

X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): sigma is contention, kappa the cost of keeping N in step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy
from scipy import optimize, stats

LEAST_AMDAHL, LEAST_USL = 4, 6  # distinct numbers of workers; fewer pin kappa to 0 or have no covariance
BEYOND = 2  # a fit is not drawn beyond so many times the largest N measured (M65)


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """Parameters with their 95 % intervals, from the covariance of the fit."""

    model: str  # Amdahl or USL
    rate: float  # lambda: of one worker, in the unit of the points
    sigma: tuple[float, float, float]  # value, low, high
    kappa: tuple[float, float, float]
    largest: int  # N that was measured

    def at(self, workers: float) -> float:
        return float(usl(numpy.array([workers]), self.rate, self.sigma[0], self.kappa[0])[0])


def usl(workers: numpy.ndarray, rate: float, sigma: float, kappa: float) -> numpy.ndarray:
    found: numpy.ndarray = rate * workers / (1 + sigma * (workers - 1) + kappa * workers * (workers - 1))
    return found


def fit(points: Mapping[int, float], cores: int) -> Fit | None:
    """Of speed-up by workers; points beyond the cores enter no fit (M63). None where there are too few."""
    used = {count: value for count, value in points.items() if count <= cores}
    if len(used) < LEAST_AMDAHL:
        return None
    workers, values = numpy.array(sorted(used), float), numpy.array([used[count] for count in sorted(used)])
    whole = len(used) >= LEAST_USL
    start = [values[0] / workers[0], 0.01, 0.001][: 3 if whole else 2]
    bounds = ([0.0] * len(start), [numpy.inf, 1.0, 1.0][: len(start)])

    def model(count: numpy.ndarray, *parameters: float) -> numpy.ndarray:
        return usl(count, parameters[0], parameters[1], parameters[2] if whole else 0.0)

    try:
        found, covariance = optimize.curve_fit(model, workers, values, p0=start, bounds=bounds)
    except RuntimeError:  # it did not converge: these points follow no such law
        return None
    half = stats.t.ppf(0.975, len(used) - len(start)) * numpy.sqrt(numpy.diag(covariance))

    def interval(place: int) -> tuple[float, float, float]:
        value = float(found[place])
        return value, max(0.0, value - float(half[place])), value + float(half[place])

    return Fit(
        model="USL" if whole else "Amdahl",
        rate=float(found[0]),
        sigma=interval(1),
        kappa=interval(2) if whole else (0.0, 0.0, 0.0),
        largest=int(workers[-1]),
    )
