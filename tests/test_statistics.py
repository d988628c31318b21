"""Intervals and verdicts against values worked out by hand and against noise of known size."""

from __future__ import annotations

import math
import random

import pytest

from assay import statistics as rules
from tests import simulation
from tests.simulation import Machine

BLOCKS = range(10)


def noisy(scale: float, sigma: float, seed: int, blocks: int = 10, drift: float = 0.05) -> dict[int, float]:
    """Throughputs of a tool: a level, noise of its own, and a drift that all tools of a block share."""
    own, shared = random.Random(f"own {seed} {scale}"), random.Random(f"shared {seed}")
    return {
        block: 1000 * scale * math.exp(own.gauss(0, sigma / math.sqrt(2)) + shared.gauss(0, drift))
        for block in range(blocks)
    }


def compare(
    value: dict[int, float], base: dict[int, float], floor: float | None, seed: int = 0
) -> rules.Comparison | None:
    return rules.compare({"x": rules.Pair(value, base, floor)}, larger_is_faster=True, seed=seed).get("x")


def word(comparison: rules.Comparison | None) -> str | None:
    return comparison and comparison.word


def test_geometric_mean_and_t_interval_by_hand() -> None:
    # Logs -0.1, 0, 0, 0, 0.1: mean 0, deviation sqrt(0.02 / 4), half-width 2.77645 * 0.0707107 / sqrt(5) = 0.087799.
    found = rules.geometric([math.exp(log) for log in (-0.1, 0, 0, 0, 0.1)])

    assert found is not None
    assert found.value == pytest.approx(1)
    assert found.high == pytest.approx(math.exp(0.087799), rel=1e-5)
    assert found.low == pytest.approx(1 / found.high)


def test_m20_below_five_blocks_there_is_no_interval_and_no_verdict() -> None:
    few = {block: 1000.0 + block for block in range(4)}
    found = compare(few, few, 0.0)

    assert rules.geometric(list(few.values())).low is None  # type: ignore[union-attr]
    assert found is not None
    assert (found.word, found.p) == ("no verdict", None)


def test_no_values_give_no_estimate() -> None:
    assert rules.geometric([]) is None
    assert compare({}, {0: 1.0}, 0.0) is None


def test_m14_a_block_that_lacks_one_side_is_dropped_for_this_pair_only() -> None:
    assert rules.ratios({0: 2.0, 1: 3.0, 3: 9.0}, {1: 1.0, 2: 1.0, 3: 3.0}) == [3.0, 3.0]


def test_holm_by_hand() -> None:
    # Sorted .01 .02 .03 .04 times 4, 3, 2, 1: .04 .06 .06 .04, kept monotone: .04 .06 .06 .06.
    assert rules.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert rules.holm([0.9, 0.8]) == [1.0, 1.0]
    assert rules.holm([]) == []


def test_tost_agrees_with_its_definition() -> None:
    tight, wide = [0.001, -0.001, 0.002, -0.002, 0.0], [0.1, -0.1, 0.2, -0.2, 0.0]

    def equivalent(logs: list[float]) -> float:
        return rules.Pair(
            {block: math.exp(log) for block, log in enumerate(logs)}, dict.fromkeys(range(len(logs)), 1.0), 0.0
        ).p_equivalent()

    assert equivalent(tight) < 0.001
    assert equivalent(wide) > 0.05


def test_m76_five_per_cent_slower_at_two_per_cent_noise_is_found() -> None:
    words = [word(compare(noisy(0.95, 0.02, seed), noisy(1.0, 0.02, seed), 0.01, seed=seed)) for seed in range(100)]

    assert words.count("slower") >= 93
    assert "faster" not in words


def test_m76_equal_tools_are_seldom_called_different() -> None:
    for sigma in (0.02, 0.05, 0.10):
        words = []
        for seed in range(100):
            base = noisy(1.0, sigma, seed)
            twin = noisy(1.0 + 1e-12, sigma, seed)
            other = noisy(1.0 - 1e-12, sigma, seed)
            _, floor = rules.noise_floor(twin, base)
            words.append(word(compare(other, base, floor, seed=seed)))

        assert words.count("faster") + words.count("slower") <= 5


@pytest.mark.parametrize(
    "machine", [Machine(), Machine(drift=0.15), Machine(heavy=True)], ids=["usual", "drift", "tails"]
)
def test_m23_equal_tools_are_called_different_in_at_most_one_campaign_of_twenty(machine: Machine) -> None:
    for blocks in (7, 10):
        words = [simulation.word(machine, blocks, 0.0, seed) for seed in range(400)]

        assert simulation.share(words, "faster", "slower") <= 0.05 + 0.02  # the chance of 400 campaigns: two sd


@pytest.mark.parametrize(
    ("blocks", "slower", "least"),
    [(7, 0.03, 0.55), (7, 0.05, 0.90), (7, 0.10, 0.99), (10, 0.03, 0.78), (10, 0.05, 0.99), (10, 0.10, 1.0)],
)
def test_m23_a_slower_tool_is_found_as_often_as_promised(blocks: int, slower: float, least: float) -> None:
    words = [simulation.word(Machine(), blocks, slower, seed) for seed in range(400)]

    assert simulation.share(words, "slower") >= least


def test_m19_the_bootstrap_stands_beside_the_interval() -> None:
    base = noisy(1.0, 0.02, 4)
    found = compare(noisy(0.9, 0.02, 4), base, 0.0)

    assert found is not None
    low, high = found.sensitivity(seed=0) or (0.0, 0.0)
    assert low < found.ratio.value < high < 1


def test_a_small_difference_is_one_all_the_same_and_says_that_it_is_small() -> None:
    base = noisy(1.0, 0.001, 6)
    found = compare(noisy(0.98, 0.001, 6), base, 0.001)

    assert found is not None
    assert (found.word, found.verdict) == ("slower", "slower, by less than 5 %")


def test_equal_values_are_equivalent_and_a_constant_difference_is_not() -> None:
    base = dict.fromkeys(BLOCKS, 100.0)

    assert word(compare(dict(base), base, 0.0)) == "equivalent within 5 %"
    assert word(compare(dict.fromkeys(BLOCKS, 50.0), base, 0.0)) == "slower"


def test_a_smaller_time_is_faster() -> None:
    base = noisy(1.0, 0.01, 3)
    found = rules.compare({"b": rules.Pair(noisy(0.8, 0.01, 3), base, 0.0)}, larger_is_faster=False, seed=0)

    assert found["b"].word == "faster"


def test_m13_inside_the_noise_floor_nothing_is_decided() -> None:
    base = noisy(1.0, 0.001, 5)

    assert word(compare(noisy(0.93, 0.001, 5), base, 0.08)) == "undecided"


def test_m13_without_a_control_there_is_no_verdict() -> None:
    base = noisy(1.0, 0.001, 5)

    assert word(compare(noisy(0.5, 0.001, 5), base, None)) == "no verdict"
    assert rules.noise_floor(noisy(0.9, 0.001, 5), base)[1] is None  # a twin that differs from itself
    assert rules.noise_floor({}, base) == (None, None)


def test_m25_p_values_are_adjusted_over_the_whole_table() -> None:
    base, other = noisy(1.0, 0.03, 8), noisy(0.97, 0.03, 8)
    alone = compare(other, base, 0.0)
    among = rules.compare({number: rules.Pair(other, base, 0.0) for number in range(10)}, larger_is_faster=True, seed=0)

    assert alone is not None
    assert alone.p is not None
    assert among[0].p == pytest.approx(min(1.0, 10 * alone.p))


def test_m22_resolution_matches_the_table_of_half_widths() -> None:
    # k = 0.715 at n = 10, in log units, for a deviation of s.
    logs = [0.01, -0.01] * 5
    deviation = math.sqrt(10 * 0.01**2 / 9)

    assert math.log1p(rules.resolution(logs)) == pytest.approx(0.715 * deviation, rel=0.001)
