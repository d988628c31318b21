"""A small decoder-only transformer on a token corpus made from a seed: steps are compute, gradients megabytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import inputs

OPTIONS = {"width": 192, "depth": 3, "heads": 4, "sequence": 64, "vocabulary": 512, "rows": 1024}
QUALITY = "accuracy"
TEST_ROWS = 64
SUCCESSORS = 4  # tokens that may follow a token: the structure there is to learn


def make(folder: Path, options: Mapping[str, Any], seed: int) -> None:
    import numpy

    vocabulary, length = options["vocabulary"], options["sequence"] + 1
    generator = numpy.random.default_rng([seed, 0])
    following = generator.integers(0, vocabulary, (vocabulary, SUCCESSORS))
    rows = options["rows"] + TEST_ROWS
    tokens = numpy.empty((rows, length), dtype="int64")
    tokens[:, 0] = generator.integers(0, vocabulary, rows)
    for position in range(1, length):
        choice = generator.integers(0, SUCCESSORS, rows)
        tokens[:, position] = following[tokens[:, position - 1], choice]
    train, test = tokens[TEST_ROWS:], tokens[:TEST_ROWS]
    inputs.write(
        folder,
        train=(train[:, :-1], train[:, 1:]),
        test=(test[:, :-1], test[:, 1:]),
        weights=initial_weights(options, seed),
        seed=seed,
    )


def initial_weights(options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """GPT-2's initialisation (Radford et al. 2019): normal with deviation 0.02, norms one, biases zero."""
    import numpy

    width, vocabulary = options["width"], options["vocabulary"]
    generator = numpy.random.default_rng([seed, 2])
    shapes: dict[str, tuple[int, ...]] = {
        "embed.weight": (vocabulary, width),
        "position.weight": (options["sequence"], width),
    }
    for index in range(options["depth"]):
        block = f"blocks.{index}"
        shapes |= {f"{block}.norm1.weight": (width,), f"{block}.norm1.bias": (width,)}
        shapes |= {f"{block}.attend.weight": (3 * width, width), f"{block}.attend.bias": (3 * width,)}
        shapes |= {f"{block}.project.weight": (width, width), f"{block}.project.bias": (width,)}
        shapes |= {f"{block}.norm2.weight": (width,), f"{block}.norm2.bias": (width,)}
        shapes |= {f"{block}.expand.weight": (4 * width, width), f"{block}.expand.bias": (4 * width,)}
        shapes |= {f"{block}.contract.weight": (width, 4 * width), f"{block}.contract.bias": (width,)}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,), "head.weight": (vocabulary, width)}
    arrays = {}
    for name, shape in shapes.items():
        if len(shape) == 2:
            arrays[name] = generator.normal(0, 0.02, shape)
        else:
            arrays[name] = numpy.ones(shape) if name.endswith("weight") else numpy.zeros(shape)
    return arrays


def build(options: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
    """A module whose call with (inputs, targets) is the mean loss; `predict` gives the logits of the next token."""
    import torch
    from torch import nn
    from torch.nn import functional

    width, heads = options["width"], options["heads"]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            rows, length, _ = hidden.shape
            query, key, value = (
                part.view(rows, length, heads, width // heads).transpose(1, 2)
                for part in self.attend(self.norm1(hidden)).chunk(3, dim=-1)
            )
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
            hidden = hidden + self.project(mixed.transpose(1, 2).reshape(rows, length, width))
            return hidden + self.contract(functional.gelu(self.expand(self.norm2(hidden))))

    class Enter(nn.Module):
        def __init__(self, whole: Any) -> None:
            super().__init__()
            self.embed, self.position = whole.embed, whole.position

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            places = torch.arange(tokens.shape[1], device=tokens.device)
            return self.embed(tokens) + self.position(places)

    class Leave(nn.Module):
        def __init__(self, whole: Any) -> None:
            super().__init__()
            self.norm, self.head = whole.norm, whole.head

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return self.head(self.norm(hidden))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(options["vocabulary"], width)
            self.position = nn.Embedding(options["sequence"], width)
            self.blocks = nn.ModuleList(Block() for _ in range(options["depth"]))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, options["vocabulary"], bias=False)
            # What gives the logits, one after the other. A plain list: registered, parameters would have two names.
            self.layers = [Enter(self), *self.blocks, Leave(self)]

        def logits(self, tokens: torch.Tensor) -> torch.Tensor:
            hidden = tokens
            for layer in self.layers:
                hidden = layer(hidden)
            return hidden

        def predict(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.logits(tokens)[:, -1]

        def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return self.loss(self.logits(inputs), targets)

        def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return Transformer()


def build_tensorflow(options: Mapping[str, Any]) -> Any:
    """The same loss in TensorFlow: a function of the weights by name, inputs and targets."""
    import tensorflow as tf

    width, heads, length = options["width"], options["heads"], options["sequence"]
    # 0 where a token may look, at itself and before, and far below any score elsewhere.
    mask = (tf.linalg.band_part(tf.ones((length, length)), -1, 0) - 1) * 1e9

    def loss(weights: Mapping[str, Any], inputs: Any, targets: Any) -> Any:
        def linear(name: str, hidden: Any) -> Any:
            return tf.matmul(hidden, weights[f"{name}.weight"], transpose_b=True) + weights[f"{name}.bias"]

        def norm(name: str, hidden: Any) -> Any:
            mean, variance = tf.nn.moments(hidden, [-1], keepdims=True)
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            return tf.nn.batch_normalization(hidden, mean, variance, bias, weight, 1e-5)

        def attend(block: str, hidden: Any) -> Any:
            parts = tf.reshape(linear(f"{block}.attend", hidden), (-1, length, 3, heads, width // heads))
            query, key, value = tf.unstack(tf.transpose(parts, (2, 0, 3, 1, 4)))
            scores = tf.matmul(query, key, transpose_b=True) / (width // heads) ** 0.5 + mask
            mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), (0, 2, 1, 3))
            return linear(f"{block}.project", tf.reshape(mixed, (-1, width)))

        hidden = tf.gather(weights["embed.weight"], inputs) + weights["position.weight"]
        hidden = tf.reshape(hidden, (-1, width))
        for index in range(options["depth"]):
            block = f"blocks.{index}"
            hidden += attend(block, norm(f"{block}.norm1", hidden))
            expanded = tf.nn.gelu(linear(f"{block}.expand", norm(f"{block}.norm2", hidden)), approximate=False)
            hidden += linear(f"{block}.contract", expanded)
        logits = tf.matmul(norm("norm", hidden), weights["head.weight"], transpose_b=True)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(targets, [-1]), logits)
        return tf.reduce_mean(losses)

    return loss


def evaluate(model: Any, inputs: Any, targets: Any) -> float:
    """Share of next tokens predicted; the corpus allows about one in SUCCESSORS."""
    return (model.logits(inputs).argmax(-1) == targets).float().mean().item()
