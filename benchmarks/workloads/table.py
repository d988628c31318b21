"""Bring your own table: a parquet or CSV file and the name of its label column, through the perceptron.

Numbers are standardised with the training rows' mean and deviation, other columns become category codes, and
rows with a missing value are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.workloads import perceptron

OPTIONS = {"path": "", "label": "", "task": "classification", "width": 256, "depth": 2, "test_share": 0.2}
QUALITY = "accuracy"


def make(folder: Path, options: Mapping[str, Any], seed: int) -> None:
    """Raises ValueError, naming file and column, where the table cannot be used."""
    import numpy

    columns = read(Path(options["path"]))
    label, task = options["label"], options["task"]
    if label not in columns:
        raise ValueError(f"{options['path']}: no column {label!r}; it has {', '.join(columns)}")
    if task not in ("classification", "regression"):
        raise ValueError(f"task = {task!r}: give classification or regression")
    target = columns.pop(label)
    if not columns:
        raise ValueError(f"{options['path']}: no column is left beside the label {label!r}")
    features = numpy.column_stack([encode(column) for column in columns.values()])
    missing = numpy.isnan(features).any(1) | numpy.isnan(encode(target))
    features, target = features[~missing], target[~missing]
    if task == "classification":
        classes, target = numpy.unique(target, return_inverse=True)
        outputs, target = len(classes), target.astype("int64")
    else:
        outputs, target = 1, encode(target)
    chosen = numpy.random.default_rng([seed, 0]).permutation(len(features))
    held_out = round(len(features) * options["test_share"])
    test, train = chosen[:held_out], chosen[held_out:]
    if min(len(test), len(train)) < 1 or outputs < 1:
        raise ValueError(f"{options['path']}: {len(features)} complete rows are too few to train and test")
    mean, deviation = features[train].mean(0), features[train].std(0)
    features = ((features - mean) / numpy.where(deviation > 0, deviation, 1)).astype("float32")
    if task == "regression":
        target = ((target - target[train].mean()) / (target[train].std() or 1)).astype("float32")
    inputs.write(
        folder,
        train=(features[train], target[train]),
        test=(features[test], target[test]),
        weights=perceptron.weights(features.shape[1], outputs, options, seed),
        seed=seed,
    )


def read(path: Path) -> dict[str, Any]:
    """The table's columns as numpy arrays."""
    import pyarrow.csv
    import pyarrow.parquet

    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; give `path` relative to where assay runs")
    reader = pyarrow.csv.read_csv if path.suffix == ".csv" else pyarrow.parquet.read_table
    try:
        table = reader(path)
    except pyarrow.ArrowInvalid as fault:
        raise ValueError(f"{path}: not a parquet or CSV table: {fault}") from fault
    return {name: table[name].to_numpy() for name in table.column_names}


def encode(column: Any) -> Any:
    """Numbers as they are, anything else as the index of its category; missing stays NaN."""
    import numpy

    if column.dtype.kind in "biuf":
        return column.astype("float64")
    missing = numpy.array([value is None for value in column])
    _, codes = numpy.unique(column.astype(str), return_inverse=True)
    return numpy.where(missing, numpy.nan, codes)


def build(options: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
    return perceptron.build(weights, options["task"])


def build_tensorflow(options: Mapping[str, Any]) -> Any:
    return perceptron.build_tensorflow(options["task"])


def evaluate(model: Any, inputs: Any, targets: Any) -> float:
    """Accuracy, or for a regression the coefficient of determination."""
    if targets.is_floating_point():
        residual = ((model.predict(inputs).squeeze(1) - targets) ** 2).sum()
        return (1 - residual / ((targets - targets.mean()) ** 2).sum()).item()
    return perceptron.accuracy(model, inputs, targets)
