"""Is the answer right? A trial's ranks and losses against what was asked and against the reference. Pure.

No check, no number: a trial with a code keeps its rows, but its speed is never shown as a result.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay.wire import Rank

SMALLEST_LOSS = 1e-6  # the gap is relative to at least this: fp32 rounding around a loss of 1 is 1e-7


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    code: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """`findings` is empty for a right answer; `gap` is the largest relative gap of the loss trace (M31)."""

    findings: tuple[Finding, ...]
    gap: float | None


def judge(
    ranks: Sequence[Rank],
    losses: Mapping[int, Sequence[float]],
    reference: Sequence[float],
    *,
    workers: int,
    steps: int,
    window_steps: int,
    requested: Mapping[str, Any],
    threads: int,
    within: float,
    others: Mapping[int, Sequence[float]] | None = None,
) -> Verdict:
    """Judge a training trial: every rank there, with the settings, the losses and the weights it should have.

    `others` are references with other numbers of chunks: losses that are theirs say what went wrong (M34).
    """
    findings: list[Finding] = []
    numbers = sorted(rank.rank for rank in ranks)
    if numbers != list(range(workers)) or any(rank.world != workers for rank in ranks):
        findings.append(Finding("RANKS", f"ranks {numbers} reported, expected 0 to {workers - 1}"))
    for rank in ranks:
        if rank.window[1] - rank.window[0] != window_steps or len(losses.get(rank.rank, ())) != steps:
            findings.append(
                Finding("STEPS", f"rank {rank.rank} did {len(losses.get(rank.rank, ()))} steps, asked were {steps}")
            )
        if differing := differences(requested, rank.applied):
            findings.append(Finding("CONFIG", f"rank {rank.rank} applied {differing}"))
        if rank.facts.get("threads") != threads:
            findings.append(
                Finding("THREADS", f"rank {rank.rank} computed with {rank.facts.get('threads')} threads, not {threads}")
            )
    if len({rank.weights for rank in ranks}) > 1:
        findings.append(Finding("WEIGHTS", "ranks ended with different weights"))
    if any(finding.code in ("RANKS", "STEPS") for finding in findings):
        return Verdict(tuple(findings), None)
    trace = mean_trace([losses[rank] for rank in range(workers)])
    gap, worst = largest_gap(trace, reference)
    if not all(map(math.isfinite, trace)):
        first = next(index for index, loss in enumerate(trace) if not math.isfinite(loss))
        findings.append(Finding("NAN", f"the loss is {trace[first]} from step {first} on"))
    elif gap > within:
        message = (
            f"the loss leaves the {workers}-chunk reference: gap {gap:.2g} > {within:.2g}, largest at step {worst} "
            f"({trace[worst]:.6g} against {reference[worst]:.6g})"
        )
        for chunks, other in (others or {}).items():
            if len(other) == len(trace) and largest_gap(trace, other)[0] <= within:
                message += f"; it is that of {chunks} chunks: as if another number of ranks had trained"
        findings.append(Finding("LOSS", message))
    return Verdict(tuple(findings), gap if math.isfinite(gap) else None)


def mean_trace(traces: Sequence[Sequence[float]]) -> list[float]:
    """The job's loss a step: ranks hold equal shares of the batch, so it is the mean of their means."""
    return [sum(step) / len(step) for step in zip(*traces, strict=True)]


def largest_gap(trace: Sequence[float], reference: Sequence[float]) -> tuple[float, int]:
    """The largest relative gap of two traces and its step; a NaN counts as infinite."""
    gaps = [
        abs(one - other) / max(abs(other), SMALLEST_LOSS) if math.isfinite(one - other) else math.inf
        for one, other in zip(trace, reference, strict=True)
    ]
    worst = max(range(len(gaps)), key=gaps.__getitem__)
    return gaps[worst], worst


def differences(requested: Mapping[str, Any], applied: Mapping[str, Any]) -> str:
    """Requested settings that were applied otherwise, in words; settings read back beyond those are facts.

    A step without a configuration of its own has averaging and clipping as the reference does: there is
    nothing to read back, and the loss trace is what shows a difference.
    """
    return ", ".join(
        f"{name} = {applied[name]!r} instead of {value!r}"
        for name, value in requested.items()
        if name in applied and applied[name] != value
    )
