"""Gates, scores by hand, and whether the first place holds under other weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from assay import ranking
from assay.errors import ClaimsError
from assay.ranking import Criterion, FigureGate, Gate, Moscow

FAST = Criterion(name="fast", scenario="s", metric="throughput", larger=True, weight=3)
SMALL = Criterion(name="small", scenario="s", metric="pss_mib", larger=False, weight=1)
MOSCOW = Moscow(should=[FAST], could=[SMALL])
PASSED: list[tuple[str, Gate, str]] = [("open", "passed", "")]


def rank(fast: dict[str, list[float]], small: dict[str, list[float]], **gates: Gate) -> ranking.Ranking:
    tools = {**dict.fromkeys(fast, PASSED), **{tool: [("open", state, "")] for tool, state in gates.items()}}
    return ranking.rank(MOSCOW, tools, [fast, small])


def test_a_score_is_the_weighed_mean_of_log_ratios_to_the_best() -> None:
    found = rank({"a": [200.0] * 3, "b": [100.0] * 3}, {"a": [400.0] * 3, "b": [100.0] * 3})
    scores = {one.tool: one for one in found.scores}

    assert [one.tool for one in found.scores] == ["a", "b"]
    assert scores["a"].score == pytest.approx(math.log(1 / 4) / 4)
    assert scores["b"].score == pytest.approx(3 * math.log(1 / 2) / 4)
    assert sum(value or 0 for value in scores["b"].contributions) == pytest.approx(scores["b"].score)


def test_what_is_best_in_everything_wins_under_any_weights() -> None:
    found = rank({"a": [200.0] * 5, "b": [100.0] * 5}, {"a": [50.0] * 5, "b": [100.0] * 5})

    assert (found.winner, found.flip) == ("a", "")
    assert found.scores[0].score == 0
    assert found.scores[0].ranks == (1.0, 0.0)


def test_too_few_trials_make_no_winner() -> None:
    found = rank({"a": [200.0] * 4, "b": [100.0] * 4}, {})

    assert (found.winner, found.fewest) == (None, 4)
    assert found.scores[0].contributions[1] is None  # nobody has it


def test_where_the_weights_decide_there_is_no_robust_winner() -> None:
    # Twice as fast and eight times as large: with weights of 3 to 1 both have the same score.
    found = rank({"a": [200.0] * 3, "b": [100.0] * 3}, {"a": [800.0] * 3, "b": [100.0] * 3})

    assert found.winner is None
    assert "times its weight makes" in found.flip


def test_a_gate_that_is_missed_or_unknown_shuts_a_tool_out() -> None:
    found = rank({"a": [2.0], "b": [1.0], "c": [9.0], "d": [9.0]}, {}, c="missed", d="unknown")

    assert [one.tool for one in found.scores] == ["a", "b"]


def test_a_missing_figure_is_bounded_by_the_best_and_the_worst() -> None:
    found = rank({"a": [4.0], "b": [2.0], "c": [1.0]}, {"a": [1.0], "b": [2.0]})
    c = {one.tool: one for one in found.scores}["c"]

    assert c.low < c.score < c.high
    assert c.contributions[1] is None


def test_nobody_passes() -> None:
    assert rank({"a": [1.0]}, {}, a="missed").scores == []


def test_a_gate_on_a_figure() -> None:
    asked = FigureGate(name="quick", scenario="s", metric="p99_ms", at_most=100)

    assert ranking.gate([90.0, 95.0], asked) == ("passed", "92.47 (n = 2)")
    assert ranking.gate([190.0], asked)[0] == "missed"
    assert ranking.gate([], asked)[0] == "unknown"


def test_the_files_of_the_repository_and_a_broken_one(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1] / "scenarios"
    assert ranking.load(root / "training/moscow.toml")
    assert ranking.load(root / "serving/moscow.toml")
    assert ranking.load(tmp_path / "none.toml") is None
    (tmp_path / "moscow.toml").write_text('[[should]]\nname = "x"\nscenario = "s"\nmetric = "m"\nlarger = true\n')

    with pytest.raises(ClaimsError, match=r"should\.0\.weight: Field required"):
        ranking.load(tmp_path / "moscow.toml")
