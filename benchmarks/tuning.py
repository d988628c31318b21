"""A search over a grid of hyperparameters: the work of one point, and what a tuner's search is checked for."""

from __future__ import annotations

import itertools
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.contract import Probing
from benchmarks.finding import Finding

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
MOMENTA = (0.0, 0.9)
ROWS, FEATURES, WIDTH, STEPS = 2048, 64, 512, 100  # of a point's training: most of a second, nearly all in torch
WORST = 1e9  # a loss
SLOTS = 2

Point = Mapping[str, Any]  # `number`, `lr`, `momentum`, and the `folder` where its evaluations are noted


class Tuner(Protocol):
    def search(self, points: Sequence[Point], slots: int) -> int:
        """Evaluate `objective` at every point, at most `slots` at once, by the tool's own means.

        Returns the number of the point with the smallest loss.
        """
        ...


class Ranks(Protocol):
    """Ranks that share the training of one point."""

    rank: int
    count: int

    def wrap(self, optimizer: Any, named: Sequence[tuple[str, Any]]) -> Any:
        """The optimizer of parameters by name, whose steps are those of the mean gradient."""
        ...

    def mean(self, loss: Any) -> Any: ...


def objective(point: Point, ranks: Ranks | None = None) -> float:
    """Train a small network with the point's settings; its last loss. Every call leaves a note of when it ran.

    Of several ranks each takes its part of the rows, and the first one leaves the note.
    """
    import torch

    began = time.perf_counter()
    torch.set_num_threads(1)
    # A generator of its own: points may share a process, and with it the global one.
    draw = torch.Generator().manual_seed(1)
    rows = torch.randn(ROWS, FEATURES, generator=draw)
    targets = torch.tanh(rows @ torch.randn(FEATURES, 1, generator=draw))
    first = (torch.randn(FEATURES, WIDTH, generator=draw) / FEATURES**0.5).requires_grad_()
    last = (torch.randn(WIDTH, 1, generator=draw) / WIDTH**0.5).requires_grad_()
    optimizer: Any = torch.optim.SGD([first, last], lr=point["lr"], momentum=point["momentum"])
    if ranks:
        rows, targets = (whole.chunk(ranks.count)[ranks.rank] for whole in (rows, targets))
        optimizer = ranks.wrap(optimizer, [("first", first), ("last", last)])
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(torch.relu(rows @ first) @ last, targets)
        loss.backward()
        optimizer.step()
    value: float = (ranks.mean(loss.detach()) if ranks else loss).item()
    if ranks and ranks.rank:
        return value
    note = {"number": point["number"], "began": began, "ended": time.perf_counter()}
    Path(point["folder"], f"{uuid.uuid4().hex}.json").write_text(json.dumps(note))
    return value if value < WORST else WORST  # also where it diverged and is no number


def check(one: Tuner, job: Probing) -> Iterator[Finding]:
    """The same grid one by one, then with one slot and with two: the same best, every point, and two at once.

    The finding's value is how many times as many points a second two slots evaluated as one slot of the same tool. A
    search with two slots before that, checked and not counted, leaves what the tool starts only once running; which of
    the other two comes first is drawn from the seed.
    """
    objective(grid(job, "warm")[0])  # the process's first steps cost more
    alone = grid(job, "alone")
    expected = min(alone, key=objective)["number"]
    rates = {0: rate(noted(alone))}
    for turn, slots in enumerate((SLOTS, *random.Random(job.seed).sample((1, SLOTS), 2))):
        points = grid(job, f"turn-{turn}")
        best, notes = one.search(points, slots), noted(points)
        numbers = [note["number"] for note in notes]
        wrong = ""
        if best != expected:
            wrong = f"{slots} slots: point {best} is not the best, which is {expected}"
        elif set(numbers) != {point["number"] for point in points}:
            wrong = f"{slots} slots: {len(set(numbers))} of {len(points)} points were evaluated"
        elif len(numbers) > len(points) + 1:  # some fit the best once more
            wrong = f"{slots} slots: {len(numbers)} evaluations of {len(points)} points"
        elif (together := most_at_once(notes)) != slots:
            wrong = f"{slots} slots: {together} evaluations at most ran at the same time"
        if wrong:
            yield Finding("tune", "failed", wrong)
            return
        rates[slots] = rate(notes[: len(points)])
    gain = rates[SLOTS] / rates[1]
    said = (
        f"{len(points)} points, each evaluated, the best as one by one, and {SLOTS} at the same time with {SLOTS} "
        f"slots, {gain:.2f} times as many a second as with one, which did {rates[1] / rates[0]:.2f} times as many as a "
        "plain loop"
    )
    yield Finding("tune", "passed", said, gain)


def most_at_once(notes: Sequence[Mapping[str, float]]) -> int:
    """The most evaluations that ran at one time."""
    return max(sum(one["began"] <= note["began"] < one["ended"] for one in notes) for note in notes)


def rate(notes: Sequence[Mapping[str, float]]) -> float:
    """Points a second, from the beginning of the first to the end of the last."""
    return len(notes) / (max(note["ended"] for note in notes) - min(note["began"] for note in notes))


# Rows and labels in; the best point's accuracy on rows held out, how often it was trained, and how often each was.
Early = Callable[[Any, Any], tuple[float, int, Sequence[int]]]


def early(one: Early, job: Probing) -> Iterator[Finding]:
    """A search whose best point was trained longer than others, which it gave up."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    accuracy, best, calls = one(digits.data.astype("float32") / 16, digits.target.astype("int64"))
    right = accuracy > 0.8 and best > min(calls)
    said = (
        f"the best of {len(calls)} points, {accuracy:.1%} right, was trained {best} times, others from {min(calls)} on"
    )
    yield Finding("early", "passed" if right else "failed", said)


def grid(job: Probing, name: str) -> list[Point]:
    folder = Path(job.scratch, name)
    folder.mkdir()
    both = itertools.product(RATES, MOMENTA)
    return [
        {"number": number, "lr": lr, "momentum": momentum, "folder": str(folder)}
        for number, (lr, momentum) in enumerate(both)
    ]


def noted(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The evaluations of a grid, in the order in which they began."""
    notes = [json.loads(path.read_text()) for path in Path(points[0]["folder"]).glob("*.json")]
    return sorted(notes, key=lambda note: note["began"])
