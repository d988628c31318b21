"""The input files that every tool is given: rows, targets, initial weights and the order of the rows.

They are made once per workload, options and seed, by the harness, and read by every rank of every tool, so
identical work means identical bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PASSES = 16  # shuffled passes over the rows stored in order.npy; longer runs start over


def write(
    folder: Path,
    *,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    weights: Mapping[str, Any],
    seed: int,
) -> None:
    """Write numpy arrays: (rows, ...) inputs and targets, initial weights by parameter name."""
    import numpy

    generator = numpy.random.default_rng([seed, 1])
    rows = len(train[0])
    order = numpy.concatenate([generator.permutation(rows) for _ in range(PASSES)])
    arrays = {
        "train_inputs": train[0],
        "train_targets": train[1],
        "test_inputs": test[0],
        "test_targets": test[1],
        "order": order.astype("int64"),
    }
    for name, array in arrays.items():
        numpy.save(folder / f"{name}.npy", array)
    for name, array in weights.items():
        numpy.save(folder / f"weight-{name}.npy", array.astype("float32"))


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file, by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def load_weights(folder: str) -> dict[str, Any]:
    """Tensors by parameter name."""
    import numpy
    import torch

    return {
        path.stem.removeprefix("weight-"): torch.from_numpy(numpy.load(path))
        for path in sorted(Path(folder).glob("weight-*.npy"))
    }


class Inputs:
    """The files as torch tensors in host memory."""

    def __init__(self, folder: str) -> None:
        import numpy
        import torch

        def tensor(name: str) -> Any:
            return torch.from_numpy(numpy.load(Path(folder, f"{name}.npy")))

        self.train = tensor("train_inputs"), tensor("train_targets")
        self.test = tensor("test_inputs"), tensor("test_targets")
        self.order = tensor("order")
        self.weights = load_weights(folder)

    def batch(self, step: int, batch: int, part: int, parts: int) -> tuple[Any, Any]:
        """Rows of contiguous part `part` of `parts` of the global batch of `step`."""
        import torch

        share = batch // parts
        first = step * batch + part * share
        order = self.order
        start = first % len(order)
        chosen = order[start : start + share]
        while len(chosen) < share:  # the stored order ran out: start over
            chosen = torch.cat([chosen, order[: share - len(chosen)]])
        inputs, targets = self.train
        return inputs[chosen], targets[chosen]
