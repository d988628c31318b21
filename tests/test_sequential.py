"""Adaptive blocks: when they are looked at, at which level, and what a whole campaign promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay import scenario, sequential
from assay import statistics as rules
from assay.errors import ScenarioError
from tests.simulation import Machine, campaign
from tests.test_scenario import GOOD, WORKLOADS

MOST, LEAST = 20, 5


def test_looks_are_few_and_hold_both_ends() -> None:
    assert sequential.looks(5, 20) == [5, 8, 11, 14, 17, 20]
    assert sequential.looks(5, 7) == [5, 6, 7]
    assert sequential.looks(9, 9) == [9]


def test_the_level_is_shared_among_the_looks() -> None:
    assert sequential.level({"min": 5, "max": 20}) == pytest.approx(0.05 / 6)
    assert sequential.level(None) == 0.05


def test_a_scenario_that_has_enough_is_asked_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = sequential.Stops(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(stops, "look", lambda scenario: asked.append(scenario) or len(asked) == 2)
    found = [stops.enough("q", 5, 20, block) for block in range(20)]

    assert found == [False] * 8 + [True] * 12
    assert asked == ["q", "q"]


def judged(word: str, ratio: float, floor: float | None = 0.01) -> rules.Comparison:
    pair = rules.Pair({0: ratio}, {0: 1.0}, floor)
    return rules.Comparison(rules.Estimate(ratio, ratio, ratio, 1), None, None, word, pair)


def test_everything_must_be_decided() -> None:
    same, other = judged("equivalent within 5 %", 1.001), judged("faster", 1.1)

    assert sequential.decided([other, same])
    assert not sequential.decided([other, judged("undecided", 1.03)])
    assert not sequential.decided([judged("no verdict", 1.1, None)])
    assert not sequential.decided([])


def test_an_equivalence_in_which_a_difference_shows_goes_on() -> None:
    assert not sequential.decided([judged("equivalent within 5 %", 1.03)])


def outcome(slower: float, seed: int) -> str:
    """The last word of a campaign that stops by the rule."""
    original, twin, tool = campaign(Machine(), MOST, slower, seed)
    level = sequential.level({"min": LEAST, "max": MOST})
    for blocks in sequential.looks(LEAST, MOST):
        first, second, third = ({block: one[block] for block in range(blocks)} for one in (original, twin, tool))
        _, floor = rules.noise_floor(second, first)
        pair = rules.Pair(third, first, floor)
        found = rules.compare({"tool": pair}, larger_is_faster=False, seed=seed, alpha=level)["tool"]
        if sequential.decided([found]):
            break
    return found.word


def test_a_true_difference_of_three_per_cent_is_found_in_nine_of_ten() -> None:
    words = [outcome(0.03, seed) for seed in range(100)]

    assert words.count("slower") >= 90
    assert "faster" not in words


def test_equal_tools_are_called_different_in_at_most_one_of_twenty() -> None:
    words = [outcome(0.0, seed) for seed in range(100)]

    assert words.count("slower") + words.count("faster") <= 5


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ("{ min = 3, max = 9 }", "blocks"),
        ("{ min = 9, max = 5 }", "is below measure.blocks.min"),
        ("{ min = 5, max = 9, until = 'bored' }", "blocks"),
    ],
)
def test_a_wrong_rule_is_refused(tmp_path: Any, blocks: str, message: str) -> None:
    path = tmp_path / "one.toml"
    path.write_text(f'{GOOD}control = "torch_ddp"\nblocks = {blocks}\n')

    with pytest.raises(ScenarioError, match=message):
        scenario.load(path, WORKLOADS)
