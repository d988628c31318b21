"""What a tool is asked to do and what it hands back: the whole surface that a tool's file meets.

A tool is a module. It offers a capability by defining the function of that name (`Trainer.train` here);
there is no base class and nothing to register. It receives a job, launches ranks in its own way, and lets
every rank call `job.run(rank, ...)`, which is our loop and our clock: a tool cannot time itself, and it
cannot choose its data, its weights or its hyper-parameters.

Only the standard library is imported here, because this module is imported in every tool's environment.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Prepare", "RankLog", "Step", "Trainer", "Training", "Unsupported", "Workload"]


class Unsupported(Exception):
    """Raised by a tool that cannot do the job, with the reason a user should read."""


class Step(Protocol):
    """One optimiser step: forward, backward, gradient exchange, update.

    `inputs` and `targets` are this rank's part of the global batch; the return value is the mean loss over
    that part, as a detached tensor that stays on the device. A step whose tool configures itself in ways
    the optimiser does not show may also define `effective_config()`, returning what was applied, under the
    names of `Training.requested`.
    """

    def __call__(self, inputs: Any, targets: Any) -> Any: ...


# The one hook: model and optimizer in, step out. `model(inputs, targets)` returns the mean loss.
Prepare = Callable[[Any, Any], Step]


@dataclasses.dataclass(frozen=True, slots=True)
class RankLog:
    """What one rank saw. Times are `time.perf_counter_ns` of the rank's host."""

    rank: int
    world: int
    stamps: dict[str, int]  # entered, loaded, prepared, first_step, window_open, window_close, left: ns
    window: tuple[int, int]  # first and one past the last step of the measure window
    step_end_ns: list[int]  # per step of the window, its end; the window opens at stamps["window_open"]
    losses: list[float]  # per step from the very first, the mean loss of this rank's part
    quality: list[tuple[int, int, float]]  # (steps done, at_ns, value of the workload's quality metric)
    weights: str  # sha256 of the final weights
    applied: dict[str, Any]  # optimiser settings read back after the window
    facts: dict[str, Any]  # host, pid, affinity, threads, variables, device: as this rank sees them
    usage: dict[str, Any]  # CPU seconds of this process in the window; device memory

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> RankLog:
        fields = json.loads(text)
        fields["window"] = tuple(fields["window"])
        fields["quality"] = [tuple(entry) for entry in fields["quality"]]
        return cls(**fields)


@dataclasses.dataclass(frozen=True, slots=True)
class Training:
    """A data-parallel training job. Plain data: it may be pickled, or saved for a launcher's script."""

    workload: str  # a file of benchmarks/workloads
    options: dict[str, Any]  # the workload's own options
    inputs: str  # folder with data, initial weights and batch order, made once outside
    scratch: str  # folder of this trial; gone after it
    device: str  # "cpu" or "cuda"
    workers: int  # number of ranks
    batch: int  # rows of the global batch, a multiple of workers
    optimizer: dict[str, float]  # lr, momentum, weight_decay of plain SGD
    requested: dict[str, Any]  # every setting that changes the mathematics, as `RankLog.applied` must report it
    quality_steps: int  # steps trained with an evaluation every `quality_every`, before the warm-up
    quality_every: int
    warmup_steps: int
    window_steps: int
    seed: int
    threads: int  # compute threads per rank
    cores: tuple[int, ...] = ()  # the core of each rank; empty: ranks are not pinned
    address: str | None = None  # an existing cluster to attach to, in the tool's own notation
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # of this tool or variant

    def run(self, rank: int, prepare: Prepare | None = None) -> RankLog:
        """Train as rank `rank` of `workers`, measured by our clock. Call it once, inside the rank."""
        from benchmarks import loop

        return loop.run(self, rank, prepare)

    def save(self) -> Path:
        """Write the job where a launcher's script can load it; returns the path."""
        path = Path(self.scratch, "job.json")
        path.write_text(json.dumps(dataclasses.asdict(self)))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Training:
        fields = json.loads(Path(path).read_text())
        fields["cores"] = tuple(fields["cores"])
        return cls(**fields)

    def archive(self) -> Path:
        """Zip the `benchmarks` package, for clusters whose workers must be sent the code; returns the path."""
        package = Path(__file__).parent
        path = Path(self.scratch, "benchmarks.zip")
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(package.rglob("*.py")):
                archive.write(file, file.relative_to(package.parent))
        return path

    def deliver(self, log: RankLog) -> None:
        """Leave a rank's log for `collect`: for launchers that bring back nothing but an exit code."""
        path = Path(self.scratch, f"rank-{log.rank}.json")
        partial = path.with_suffix(".partial")
        partial.write_text(log.to_json())
        partial.rename(path)

    def collect(self) -> Iterable[RankLog]:
        """The logs that ranks delivered; a rank that delivered none is simply absent."""
        for rank in range(self.workers):
            path = Path(self.scratch, f"rank-{rank}.json")
            if path.exists():
                yield RankLog.from_json(path.read_text())


class Trainer(Protocol):
    """A tool with the capability `train`."""

    def train(self, job: Training) -> Iterable[RankLog]:
        """Run `job.run(rank)` in `job.workers` ranks; return the log of each. Raise Unsupported to decline."""
        ...


class Workload(Protocol):
    """A file of benchmarks/workloads."""

    QUALITY: str  # name of the quality metric, larger is better

    def make(self, folder: Path, options: Mapping[str, Any], seed: int) -> None:
        """Write the inputs with `benchmarks.inputs.write`. Runs once, in the harness's environment."""
        ...

    def build(self, options: Mapping[str, Any], weights: Mapping[str, Any]) -> Any:
        """The torch module of the weights' shapes; calling it with (inputs, targets) returns the mean loss."""
        ...

    def evaluate(self, model: Any, inputs: Any, targets: Any) -> float:
        """The quality metric on held-out rows."""
        ...
