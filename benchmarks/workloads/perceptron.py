"""The multilayer perceptron shared by the workloads on rows of features."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any


def weights(features: int, outputs: int, options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """He initialisation (He et al. 2015: standard deviation sqrt(2 / fan_in)); biases zero."""
    import numpy

    sizes = [features, *[options["width"]] * options["depth"], outputs]
    generator = numpy.random.default_rng([seed, 2])
    arrays = {}
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        layer = f"layers.{2 * index}"  # a ReLU stands between two linear layers
        arrays[f"{layer}.weight"] = generator.normal(0, (2 / fan_in) ** 0.5, (fan_out, fan_in))
        arrays[f"{layer}.bias"] = numpy.zeros(fan_out)
    return arrays


def build(weights: Mapping[str, Any], task: str) -> Any:
    """A module of the sizes of `weights`; its call with (inputs, targets) is the mean loss."""
    import torch
    from torch import nn
    from torch.nn import functional

    shapes = [tuple(weights[name].shape) for name in sorted(weights, key=depth) if name.endswith("weight")]

    class Perceptron(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            for fan_out, fan_in in shapes:
                layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
            self.layers = nn.Sequential(*layers[:-1])

        def predict(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.layers(inputs)

        def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            if task == "regression":
                return functional.mse_loss(self.predict(inputs).squeeze(1), targets)
            return functional.cross_entropy(self.predict(inputs), targets)

    return Perceptron()


def build_tensorflow(task: str) -> Any:
    """The same loss in TensorFlow: a function of the weights by name, inputs and targets."""
    import tensorflow as tf

    def loss(weights: Mapping[str, Any], inputs: Any, targets: Any) -> Any:
        hidden, layers = inputs, sorted((name for name in weights if name.endswith("weight")), key=depth)
        for name in layers:
            hidden = tf.nn.relu(hidden) if name != layers[0] else hidden
            hidden = tf.matmul(hidden, weights[name], transpose_b=True) + weights[name.replace("weight", "bias")]
        if task == "regression":
            return tf.reduce_mean(tf.square(hidden[:, 0] - targets))
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, hidden))

    return loss


def depth(name: str) -> int:
    """The position of a parameter's layer, so that the tenth does not sort before the second."""
    return int(name.split(".")[1])


def accuracy(model: Any, inputs: Any, targets: Any) -> float:
    """Share of rows whose largest output is the target's."""
    return (model.predict(inputs).argmax(1) == targets).float().mean().item()
