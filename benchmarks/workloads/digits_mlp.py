"""Handwritten digits through a multilayer perceptron: real data that ships with scikit-learn, no download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.workloads import perceptron

OPTIONS = {"width": 512, "depth": 3}
QUALITY = "accuracy"
TEST_ROWS = 360  # of 1,797, a fifth


def make(folder: Path, options: Mapping[str, Any], seed: int) -> None:
    import numpy
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = (digits.data / 16.0).astype("float32")
    labels = digits.target.astype("int64")
    chosen = numpy.random.default_rng([seed, 0]).permutation(len(rows))
    test, train = chosen[:TEST_ROWS], chosen[TEST_ROWS:]
    inputs.write(
        folder,
        train=(rows[train], labels[train]),
        test=(rows[test], labels[test]),
        weights=perceptron.weights(rows.shape[1], 10, options, seed),
        seed=seed,
    )


def build(options: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
    return perceptron.build(weights, "classification")


def build_tensorflow(options: Mapping[str, Any]) -> Any:
    return perceptron.build_tensorflow("classification")


def evaluate(model: Any, inputs: Any, targets: Any) -> float:
    return perceptron.accuracy(model, inputs, targets)
