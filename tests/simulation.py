"""Simulated campaigns whose truth is known: what the verdict rules promise, as a table.

`python -m tests.simulation [CAMPAIGNS]` prints the table of docs/measurement.md. A trial's value is the median of its
iterations; every process and every iteration has noise of its own, the machine drifts under all of them, and now and
then an iteration takes much longer. The order in a block is shuffled, as a plan's is.
"""

from __future__ import annotations

import dataclasses
import random
import statistics
import sys

import numpy

from assay import statistics as rules

Values = dict[int, float]


@dataclasses.dataclass(frozen=True)
class Machine:
    """Noise as shares of a time: per process, per iteration; drift over the campaign; outliers' share and size."""

    process: float = 0.02
    iteration: float = 0.02
    drift: float = 0.05
    outliers: float = 0.02
    outlier: float = 1.28
    heavy: bool = False  # Student's t with three degrees of freedom in place of the normal distribution


ITERATIONS = 30


def campaign(machine: Machine, blocks: int, slower: float, seed: int | str) -> tuple[Values, Values, Values]:
    """Times by block of the control's original, of its twin, and of a tool that is `slower` by that share."""
    draw = random.Random(seed)
    generator = numpy.random.default_rng(draw.getrandbits(64))
    scales = {"original": 1.0, "twin": 1.0, "tool": 1.0 + slower}
    found: dict[str, Values] = {name: {} for name in scales}
    for block in range(blocks):
        order = list(scales)
        draw.shuffle(order)
        for position, name in enumerate(order):
            when = (block + position / len(order)) / blocks
            level = (
                scales[name] * (1 + machine.drift * when) * numpy.exp(machine.process * noise(machine, generator, 1))
            )
            times = level * numpy.exp(machine.iteration * noise(machine, generator, ITERATIONS))
            times[generator.random(ITERATIONS) < machine.outliers] *= machine.outlier
            found[name][block] = float(numpy.median(times))
    return found["original"], found["twin"], found["tool"]


def noise(machine: Machine, generator: numpy.random.Generator, count: int) -> numpy.ndarray:
    if machine.heavy:
        return generator.standard_t(3, count) / 3**0.5  # of variance one
    return generator.standard_normal(count)


def word(machine: Machine, blocks: int, slower: float, seed: int) -> str:
    """The verdict on one campaign, which is repeated once where its control misses (M13)."""
    for attempt in ("", " again"):
        original, twin, tool = campaign(machine, blocks, slower, f"{seed}{attempt}")
        _, floor = rules.noise_floor(twin, original)
        if floor is not None:
            break
    found = rules.compare({"tool": rules.Pair(tool, original, floor)}, larger_is_faster=False, seed=seed)
    return found["tool"].word


def share(words: list[str], *wanted: str) -> float:
    return statistics.mean(one in wanted for one in words)


def main() -> None:
    campaigns = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| machine | blocks | equal tools: faster or slower | 3 % slower found | 5 % | 10 % |")
    print("|---|---|---|---|---|---|")
    for name, machine in (
        ("2 % noise, 5 % drift, 2 % outliers", Machine()),
        ("the same, drift 15 %", Machine(drift=0.15)),
        ("the same, heavy tails", Machine(heavy=True)),
    ):
        for blocks in (7, 10):
            cells = []
            for slower in (0.0, 0.03, 0.05, 0.10):
                words = [word(machine, blocks, slower, seed) for seed in range(campaigns)]
                cells.append(share(words, "slower") if slower else share(words, "slower", "faster"))
            print(f"| {name} | {blocks} | {' | '.join(f'{100 * cell:.1f} %' for cell in cells)} |", flush=True)


if __name__ == "__main__":
    main()
