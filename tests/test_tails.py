"""What a number of requests can show, against MLPerf's published minima, and the search for a rate."""

from __future__ import annotations

import random

import pytest

from assay.tails import Search, least_count, most_over, within


@pytest.mark.parametrize(
    ("quantile", "over", "count"),
    [(0.9, 0, 44), (0.9, 1, 64), (0.95, 5, 259), (0.99, 0, 459), (0.99, 1, 662), (0.99, 10, 2010), (0.999, 0, 4603)],
)
def test_m45_minimum_counts_are_those_of_loadgen(quantile: float, over: int, count: int) -> None:
    assert least_count(quantile, over) == count
    assert within(over, count, quantile)
    assert not within(over, count - 1, quantile)


def test_m46_the_rank_of_the_upper_bound() -> None:
    assert most_over(6_000, 0.99) == 42
    assert most_over(12_000, 0.99) == 94
    assert most_over(100, 0.99) is None


@pytest.mark.parametrize("capacity", [3.0, 17.0, 100.0, 777.0])
def test_m48_a_search_brackets_the_capacity(capacity: float) -> None:
    search, offered = Search(16, 4096), 0
    while (rate := search.rate) is not None:
        search.decide(rate <= capacity)
        offered += 1
    low, high = search.bracket

    assert low is not None
    assert high is not None
    assert low <= capacity < high
    assert high / low <= 1.05
    assert offered < 60


def test_a_search_survives_chance_and_confirms_what_it_gives() -> None:
    found = []
    for seed in range(40):
        draw, search = random.Random(seed), Search(16, 4096)
        while (rate := search.rate) is not None:
            # A soft knee at 200: half of the loads pass there, nearly none ten per cent above.
            search.decide(draw.random() < 1 / (1 + (rate / 200) ** 40))
        found.append(search.bracket[0])

    assert all(low is not None and 150 < low < 215 for low in found)


def test_a_bound_that_nothing_meets_and_one_that_all_meet_end() -> None:
    nothing, everything = Search(16, 4096), Search(16, 128)
    while nothing.rate is not None:
        nothing.decide(False)
    while everything.rate is not None:
        everything.decide(True)

    assert nothing.bracket[0] is None
    assert everything.bracket == (128, None)
