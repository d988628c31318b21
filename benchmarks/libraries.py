"""Estimators of other libraries, fitted through a tool's documented entry and checked against a fit without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.contract import Probing
from benchmarks.finding import Finding

TREES, ROUNDS = 50, 5
TEST = 360  # rows held out of the 1,797 digits
WITHIN = 0.02  # of the accuracy alone: sums in another order make other trees

# Features and labels to learn from, features to predict for: the labels predicted.
Fit = Callable[[Any, Any, Any], Any]


def scikit_learn() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, random_state=0)


def xgboost(kind: Any = None, **arguments: Any) -> Any:
    import xgboost as library

    return (kind or library.XGBClassifier)(n_estimators=ROUNDS, max_depth=4, tree_method="hist", **arguments)


ALONE: dict[str, Callable[[], Any]] = {"scikit-learn": scikit_learn, "xgboost": lambda: xgboost(n_jobs=1)}


def check(one: Mapping[str, Fit], job: Probing) -> Iterator[Finding]:
    """Each library on the digits: as accurate through the tool as alone; with shuffled labels it must learn nothing."""
    import numpy
    from sklearn.datasets import load_digits

    digits, draw = load_digits(), numpy.random.default_rng(job.seed)
    chosen = draw.permutation(len(digits.target))
    rows, labels = digits.data[chosen].astype("float32"), digits.target[chosen].astype("int64")
    train, test = slice(TEST, None), slice(TEST)
    for name, fit in one.items():
        alone = ALONE[name]().fit(rows[train], labels[train]).predict(rows[test])
        through = fit(rows[train], labels[train], rows[test])
        shuffled = fit(rows[train], draw.permutation(labels[train]), rows[test])
        shares = [float(numpy.mean(numpy.asarray(found) == labels[test])) for found in (through, alone, shuffled)]
        right = abs(shares[0] - shares[1]) <= WITHIN and shares[2] < 0.5
        said = f"{name}: {shares[0]:.1%} of {TEST} digits right through it, {shares[1]:.1%} alone"
        yield Finding(f"fit-{name}", "passed" if right else "failed", f"{said}, {shares[2]:.1%} from shuffled labels")
