"""A model that takes a fixed time: what is left of a request's latency is the server's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import inputs

OPTIONS = {"milliseconds": 5.0, "width": 32, "waits": False}
QUALITY = "score"
ROWS = 1024


def make(folder: Path, options: Mapping[str, Any], seed: int) -> None:
    import numpy

    rows = numpy.random.default_rng([seed, 0]).random((ROWS, options["width"]), dtype="float32")
    targets = 2 * rows
    inputs.write(
        folder,
        train=(rows, targets),
        test=(rows[:64], targets[:64]),
        weights={"scale": numpy.ones(1)},
        seed=seed,
    )


def build(options: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
    """A module that takes the given time, whatever the batch, and scales its inputs.

    It computes; or, where it `waits`, it does so for a device of its own, one call at a time, and takes no core.
    """
    import threading
    import time

    import torch
    from torch import nn
    from torch.nn import functional

    class Delay(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.device = threading.Lock()

        def predict(self, rows: torch.Tensor) -> torch.Tensor:
            if options["waits"]:
                with self.device:
                    time.sleep(options["milliseconds"] / 1000)
            else:
                # Busy, as a model is: a sleeping one would leave its core to the server.
                until = time.perf_counter_ns() + int(options["milliseconds"] * 1e6)
                while time.perf_counter_ns() < until:
                    pass
            return rows * self.scale

        def forward(self, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return functional.mse_loss(self.predict(rows), targets)

    return Delay()


def evaluate(model: Any, inputs: Any, targets: Any) -> float:
    """One over one plus the mean squared error."""
    return 1 / (1 + model(inputs, targets).item())
