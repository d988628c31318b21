"""Estimators of other libraries, fitted through a tool's documented entry and checked against a fit without it.

Whoever does a part of a fit leaves a note of its process, so that a fit past the tool is seen.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contract import Probing
from benchmarks.finding import Finding

TREES, ROUNDS = 50, 5
BATCH, EPOCHS = 64, 15
PREDICTED = "predicted.npy"
TEST = 360  # rows held out of the 1,797 digits
WITHIN = 0.02  # of the accuracy alone: sums in another order make other trees

# Features and labels to learn from, features to predict for, and the folder for notes: the labels predicted.
Fit = Callable[[Any, Any, Any, str], Any]


def note(folder: str) -> None:
    """Leave a note of this process."""
    Path(folder, f"{uuid.uuid4().hex}.json").write_text(json.dumps(os.getpid()))


def scikit_learn(folder: str) -> Any:
    """Bagged trees, each of which notes who fits it."""
    from sklearn.ensemble import BaggingClassifier
    from sklearn.tree import DecisionTreeClassifier

    class Tree(DecisionTreeClassifier):
        def __init__(self, folder: str = "", random_state: Any = None) -> None:
            super().__init__(random_state=random_state)
            self.folder = folder

        def fit(self, *data: Any, **settings: Any) -> Any:
            note(self.folder)
            return super().fit(*data, **settings)

    return BaggingClassifier(Tree(folder), n_estimators=TREES, n_jobs=2, random_state=0)


def xgboost(folder: str, kind: Any = None, **arguments: Any) -> Any:
    """A booster, whose every rank notes who it is."""
    import xgboost as library

    settings = {"n_estimators": ROUNDS, "max_depth": 4, "tree_method": "hist", "callbacks": [noting(folder)]}
    return (kind or library.XGBClassifier)(**settings, **arguments)


def noting(folder: str) -> Any:
    """A callback of XGBoost that leaves a note in every rank."""
    import xgboost as library

    class Noting(library.callback.TrainingCallback):
        def before_training(self, model: Any) -> Any:
            note(folder)
            return model

    return Noting()


class Network:
    """A small network of Keras, built under the strategy that is in scope; every worker notes who it is."""

    def __init__(self, folder: str) -> None:
        import tensorflow as tf

        tf.keras.utils.set_random_seed(0)
        layers = tf.keras.layers
        self.model = tf.keras.Sequential(
            [layers.Rescaling(1 / 16), layers.Dense(64, activation="relu"), layers.Dense(10)]
        )
        self.model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        self.noting = tf.keras.callbacks.LambdaCallback(on_train_begin=lambda logs: note(folder))

    def fit(self, rows: Any, labels: Any) -> Network:
        import tensorflow as tf

        # Of a multiple of the batch: two workers are never given batches of different sizes.
        whole = len(rows) // BATCH * BATCH
        data = tf.data.Dataset.from_tensor_slices((rows[:whole], labels[:whole])).batch(BATCH)
        self.model.fit(data, epochs=EPOCHS, verbose=0, callbacks=[self.noting])
        return self

    def predict(self, rows: Any) -> Any:
        return self.model(rows).numpy().argmax(1)


class Classifier:
    """A small network of torch, in this process or as Accelerate's ranks train it; every rank notes who it is."""

    def __init__(self, folder: str, accelerator: Any = None) -> None:
        self.folder, self.accelerator = folder, accelerator

    def loader(self, *columns: Any, shuffle: bool = False) -> Any:
        import torch

        ranks = self.accelerator.num_processes if self.accelerator else 1
        rows = torch.utils.data.TensorDataset(*map(torch.from_numpy, columns))
        draw = torch.Generator().manual_seed(0)
        loader = torch.utils.data.DataLoader(rows, BATCH // ranks, shuffle=shuffle, generator=draw)
        return self.accelerator.prepare(loader) if self.accelerator else loader

    def fit(self, rows: Any, labels: Any) -> Classifier:
        import torch

        torch.manual_seed(0)
        model: Any = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        if self.accelerator:
            model, optimizer = self.accelerator.prepare(model, optimizer)
        note(self.folder)
        backward = self.accelerator.backward if self.accelerator else torch.Tensor.backward
        for _ in range(EPOCHS):
            for inputs, targets in self.loader(rows / 16, labels, shuffle=True):
                optimizer.zero_grad()
                backward(torch.nn.functional.cross_entropy(model(inputs), targets))
                optimizer.step()
        self.model = model
        return self

    def predict(self, rows: Any) -> Any:
        import torch

        found = []
        with torch.no_grad():
            for (inputs,) in self.loader(rows / 16):
                labels = self.model(inputs).argmax(1)
                found.append(self.accelerator.gather_for_metrics(labels) if self.accelerator else labels)
        return torch.cat(found).numpy()


def elsewhere(scratch: str, rows: Any, labels: Any, asked: Any, run: Callable[[str], None]) -> Any:
    """A fit by other processes: `run` hands them the file with its data, and one of them leaves what it predicted."""
    import numpy

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        given = Path(folder, "given.npz")
        numpy.savez(given, rows=rows, labels=labels, asked=asked)
        run(str(given))
        return numpy.load(given.with_name(PREDICTED))


def leave(given: str, predicted: Any) -> None:
    """The other end of `elsewhere`."""
    import numpy

    numpy.save(Path(given).with_name(PREDICTED), predicted)


ALONE: dict[str, Callable[[str], Any]] = {
    "scikit-learn": scikit_learn,
    "xgboost": lambda folder: xgboost(folder, n_jobs=1),
    "keras": Network,
    "accelerate": Classifier,
}


def check(one: Mapping[str, Fit], job: Probing) -> Iterator[Finding]:
    """Each library on the digits: as accurate through the tool as alone, by processes that are not this one.

    With shuffled labels it must learn nothing.
    """
    import numpy
    from sklearn.datasets import load_digits

    digits, draw = load_digits(), numpy.random.default_rng(job.seed)
    chosen = draw.permutation(len(digits.target))
    rows, labels = digits.data[chosen].astype("float32"), digits.target[chosen].astype("int64")
    train, test = slice(TEST, None), slice(TEST)
    for name, fit in one.items():
        notes = [Path(job.scratch, f"{name}-{which}") for which in ("alone", "through", "shuffled")]
        for folder in notes:
            folder.mkdir()
        alone = ALONE[name](str(notes[0])).fit(rows[train], labels[train]).predict(rows[test])
        through = fit(rows[train], labels[train], rows[test], str(notes[1]))
        shuffled = fit(rows[train], draw.permutation(labels[train]), rows[test], str(notes[2]))
        shares = [float(numpy.mean(numpy.asarray(found) == labels[test])) for found in (through, alone, shuffled)]
        pids = {json.loads(path.read_text()) for path in notes[1].glob("*.json")}
        right = abs(shares[0] - shares[1]) <= WITHIN and shares[2] < 0.5 and len(pids) > 1 and os.getpid() not in pids
        said = (
            f"{name}: {shares[0]:.1%} of {TEST} digits right through it, by {len(pids)} processes, "
            f"{shares[1]:.1%} alone, {shares[2]:.1%} from shuffled labels"
        )
        yield Finding(f"fit-{name}", "passed" if right else "failed", said)
