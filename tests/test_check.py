"""Right and wrong answers, each with its code."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from assay import check
from assay.wire import Rank

REQUESTED = {"lr": 0.1, "momentum": 0.9}


def rank(number: int, world: int = 2, **changes: Any) -> Rank:
    one = Rank(number, world, {}, [2, 4], "same", dict(REQUESTED), {"threads": 1}, {})
    return dataclasses.replace(one, **changes)


def judge(ranks: list[Rank], losses: dict[int, list[float]], reference: list[float] | None = None) -> check.Verdict:
    return check.judge(
        ranks,
        losses,
        reference or [3.0, 2.0, 1.0, 0.5],
        workers=2,
        steps=4,
        window_steps=2,
        requested=REQUESTED,
        threads=1,
        within=1e-4,
        others={1: [3.5, 2.0, 1.0, 0.5], 4: [9.0, 9.0, 9.0, 9.0]},
    )


def codes(verdict: check.Verdict) -> list[str]:
    return [finding.code for finding in verdict.findings]


GOOD = {0: [2.0, 2.0, 1.0, 0.4], 1: [4.0, 2.0, 1.0, 0.6]}


def test_the_jobs_loss_is_the_mean_over_ranks() -> None:
    verdict = judge([rank(0), rank(1)], GOOD)

    assert codes(verdict) == []
    assert verdict.gap is not None
    assert verdict.gap < 1e-12


def test_one_step_outside_the_limit_is_enough() -> None:
    assert codes(judge([rank(0), rank(1)], {**GOOD, 0: [2.0, 2.0, 1.001, 0.4]})) == ["LOSS"]


def test_m34_the_losses_of_another_number_of_chunks_are_named() -> None:
    alone = judge([rank(0), rank(1)], {0: [3.0, 2.0, 1.0, 0.4], 1: [4.0, 2.0, 1.0, 0.6]})
    neither = judge([rank(0), rank(1)], {**GOOD, 0: [2.0, 2.0, 1.1, 0.4]})

    assert codes(alone) == codes(neither) == ["LOSS"]
    assert "it is that of 1 chunks" in alone.findings[0].message
    assert "chunks:" not in neither.findings[0].message


def test_a_missing_rank_a_short_trace_and_a_wrong_world_are_told() -> None:
    assert codes(judge([rank(0)], GOOD)) == ["RANKS"]
    assert codes(judge([rank(0, world=1), rank(1, world=1)], GOOD)) == ["RANKS"]
    assert codes(judge([rank(0), rank(1)], {**GOOD, 1: [4.0]})) == ["STEPS"]


def test_weights_config_and_threads_are_compared() -> None:
    other = rank(1, weights="other", applied={"lr": 0.1, "momentum": 0.0}, facts={"threads": 2})

    assert codes(judge([rank(0), other], GOOD)) == ["CONFIG", "THREADS", "WEIGHTS"]


def test_a_loss_that_is_not_a_number_is_named_with_its_step() -> None:
    verdict = judge([rank(0), rank(1)], {**GOOD, 0: [2.0, 2.0, math.nan, math.nan]})

    assert codes(verdict) == ["NAN"]
    assert "from step 2 on" in verdict.findings[0].message
    assert verdict.gap is None
