"""The settings of the optimizer that every rank is given: plain SGD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SETTINGS = ("lr", "momentum", "weight_decay", "dampening", "nesterov")


def settings(optimizer: Any) -> dict[str, Any]:
    """What is in force, read back from the first group of parameters."""
    group = optimizer.param_groups[0]
    return {name: group[name] for name in SETTINGS}


def anew(optimizer: Any, parameters: Iterable[Any]) -> Any:
    """SGD with the same settings over other parameters: shards, or those of a stage."""
    import torch

    return torch.optim.SGD(parameters, **settings(optimizer))
