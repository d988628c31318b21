"""Change points of a window: found where there are some, and not where there are none."""

from __future__ import annotations

import math

import numpy
import ruptures

from assay import steady


def noise(seed: int, count: int = 100) -> numpy.ndarray:
    """Step times with two per cent noise."""
    return numpy.random.default_rng(seed).normal(100, 2, count)


def test_the_partition_is_that_of_pelt() -> None:
    for seed in range(20):
        series = numpy.random.default_rng(seed).normal(0, 1, 60)
        series[30:] += seed / 4
        penalty = 3 * math.log(60)
        *expected, _ = ruptures.Pelt(model="l2", min_size=steady.LEAST, jump=1).fit(series).predict(pen=penalty)

        assert steady.segments(series, penalty) == expected


def test_m29_a_warm_up_of_a_fifth_is_located_within_two_steps() -> None:
    found = 0
    for seed in range(200):
        times = noise(seed)
        times[:20] *= 1.2
        changes = steady.change_points(times)
        found += len(changes) == 1 and abs(changes[0] - 20) <= 2

    assert found >= 0.97 * 200


def test_m29_flat_series_have_no_change_also_with_outliers() -> None:
    flat = sum(bool(steady.change_points(noise(seed))) for seed in range(400))
    clipped = 0
    for seed in range(400):
        times = noise(seed)
        times[numpy.random.default_rng(seed).random(100) < 0.05] *= 1.3
        clipped += bool(steady.change_points(times))

    assert flat <= 0.02 * 400
    assert clipped <= 0.04 * 400


def test_m30_classes() -> None:
    times = noise(1)
    warm, slow, late = times.copy(), times.copy(), times.copy()
    warm[:30] *= 1.2
    slow[50:] *= 1.2
    late[90:] *= 1.2

    assert steady.classify(times) == "steady"
    assert steady.classify(warm) == "warm-up"
    assert steady.classify(slow) == "slowdown"
    assert steady.classify(late) == "no steady state"
    assert steady.classify([1.0] * 50) == "steady"
    assert steady.classify([1.0, 2.0]) == "steady"
