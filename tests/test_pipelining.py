"""A model's layers cut into stages."""

from __future__ import annotations

import pytest

from benchmarks.pipelining import stages


@pytest.mark.parametrize(
    ("layers", "count", "lengths"), [(6, 2, [3, 3]), (5, 2, [3, 2]), (7, 3, [3, 2, 2]), (2, 2, [1, 1])]
)
def test_stages_are_runs_of_equal_length_and_hold_every_layer_once(layers: int, count: int, lengths: list[int]) -> None:
    cut = stages(range(layers), count)

    assert [len(stage) for stage in cut] == lengths
    assert [layer for stage in cut for layer in stage] == list(range(layers))
