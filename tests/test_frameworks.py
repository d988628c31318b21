"""The perceptron in other frameworks gives what its weights say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks.frameworks import layers, scikit_learn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator, sizes = np.random.default_rng(1), (5, 7, 6, 3)
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        weight = generator.normal(size=(fan_out, fan_in)).astype("float32")
        np.save(tmp_path / f"weight-layers.{2 * index}.weight.npy", weight)
        np.save(tmp_path / f"weight-layers.{2 * index}.bias.npy", generator.normal(size=fan_out).astype("float32"))
    return tmp_path


def test_scikit_learn_computes_what_the_weights_say(folder: Path) -> None:
    rows = np.random.default_rng(2).normal(size=(11, 5)).astype("float32")
    expected = rows
    *hidden, last = layers(str(folder))
    for weight, bias in hidden:
        expected = np.maximum(expected @ weight.T + bias, 0)
    expected = expected @ last[0].T + last[1]

    assert np.allclose(scikit_learn(str(folder), 1)(rows), expected, atol=1e-5)
