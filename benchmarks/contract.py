"""What a tool is asked to do and what it hands back: the whole surface that a tool's file meets.

A tool is a module. It offers a capability by defining the function of that name (`Trainer.train`,
`Server.serve`); there is no base class and nothing to register. To train it launches ranks in its own way and
lets every rank call `job.run(rank, ...)`, which is our loop and our clock. To serve it starts a server in its
own way and says where it answers; load and clock are held from outside. A tool cannot time itself, and it cannot
choose its data, its weights or its hyper-parameters.

Only the standard library is imported here, because this module is imported in every tool's environment.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import signal
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.process import running

__all__ = [
    "V1",
    "V2",
    "Declined",
    "Dialect",
    "Endpoint",
    "Inference",
    "Inferrer",
    "Prepare",
    "Prober",
    "Probing",
    "RankLog",
    "Refused",
    "Server",
    "Serving",
    "Step",
    "Trainer",
    "Training",
    "Unsupported",
    "Workload",
    "together",
    "v2_url",
]

JOB = "ASSAY_JOB"  # names the job's file in a server's environment


class Unsupported(Exception):
    """Raised by a tool that cannot do the job, with the reason a user should read."""


class Step(Protocol):
    """One optimiser step: forward, backward, gradient exchange, update.

    `inputs` and `targets` are this rank's part of the global batch; the return value is the mean loss over
    that part, as a detached tensor that stays on the device. A step may also define

    - `effective_config()`: what was applied, under the names of `Training.requested`, where the optimiser hides it;
    - `full_weights()`: the parameters by name, gathered where the model is sharded, by every rank, after the window;
    - `write_back()`: puts the parameters of a copy that it trains into the model, for evaluations and the end;
    - `whole_batch = True`: it is given the whole batch in every rank, and returns its loss in each.
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

        log = loop.run(self, rank, prepare)
        # A wrapped model lies in reference cycles and holds its process group, whose threads abort a process that
        # ends before they do, even after destroy_process_group (pytorch/pytorch#190489).
        gc.collect()
        return log

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
        return archive(self.scratch)

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


def archive(folder: str) -> Path:
    package = Path(__file__).parent
    path = Path(folder, "benchmarks.zip")
    with zipfile.ZipFile(path, "w") as whole:
        for file in sorted(package.rglob("*.py")):
            whole.write(file, file.relative_to(package.parent))
    return path


class Trainer(Protocol):
    """A tool with the capability `train`."""

    def train(self, job: Training) -> Iterable[RankLog]:
        """Run `job.run(rank)` in `job.workers` ranks; return the log of each. Raise Unsupported to decline."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """How a tensor is written into a request's JSON and found in a response's.

    In `request`, `$rows` stands for the nested list, `$flat` for the values in one list, `$shape` for its
    shape. `response` is the dotted path of the predictions, nested or flat; the empty path is the whole body.
    """

    request: str
    response: str


V1 = Dialect('{"instances": $rows}', "predictions")
# The Open Inference Protocol, for a model whose input is named `x`.
V2 = Dialect('{"inputs": [{"name": "x", "shape": $shape, "datatype": "FP32", "data": $flat}]}', "outputs.0.data")


@dataclasses.dataclass(frozen=True, slots=True)
class Declined:
    """What the tool does not offer, by its documentation: said, and not tried."""

    said: str


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """What the tool itself answered, in its own words, when it was asked for something."""

    said: str


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server answers, or will as soon as it is ready: readiness is found out from outside.

    The rest is what else the same server offers, for scenarios that ask (`load.probes`): a URL, Declined or Refused.
    None says nothing about it.
    """

    url: str  # of the route that predicts: http://host:port/path, or grpc://host:port/model for V2 over gRPC
    dialect: Dialect
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None  # whose early end is the server's; None: the worker itself
    metrics: str | Declined | Refused | None = None  # a page in Prometheus' text format
    second: str | Declined | Refused | None = None  # as `url`, of `Serving.beside`; the path names it `second`
    grpc: str | Declined | Refused | None = None  # the same over gRPC; torchserve://host:port/model for its own service
    api: tuple[str, ...] = ()  # where it describes itself: OpenAPI documents, got by GET or OPTIONS


@dataclasses.dataclass(frozen=True, slots=True)
class Serving:
    """A model to serve. Plain data: a server's own processes load it from the environment."""

    workload: str  # a file of benchmarks/workloads
    options: dict[str, Any]  # the workload's own options
    model: str  # folder with the trained weights, made once outside
    scratch: str  # folder of this trial, with a short path; gone after it
    device: str  # "cpu" or "cuda"
    replicas: int  # processes or workers that hold the model
    threads: int  # compute threads a replica
    host: str  # the address to bind
    ports: tuple[int, int, int, int]  # free ones: for predictions, and three more for those that need them
    cores: tuple[int, ...] = ()  # of the server; set before the tool is imported. Empty: not pinned
    address: str | None = None  # of a server that already runs
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # of this tool or variant
    second: str | None = None  # folder of another model of the same shape, to be served beside the first

    @property
    def beside(self) -> Serving | None:
        """The job of the second model, where there is one."""
        return dataclasses.replace(self, model=self.second) if self.second else None

    @property
    def models(self) -> dict[str, Serving]:
        """Every model to serve, by the name that its route carries."""
        return {"model": self, **({"second": self.beside} if self.beside else {})}

    @property
    def port(self) -> int:
        return self.ports[0]

    def predictor(self, prepare: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
        """The model in this process: a float32 array of shape (rows, ...) in, predictions (rows, ...) out.

        `prepare` may wrap the torch module that computes them.
        """
        from benchmarks import model

        return model.load(self, prepare)

    def save(self) -> Path:
        """Write the job where the server's processes can load it; returns the path."""
        path = Path(self.scratch, "job.json")
        path.write_text(json.dumps(dataclasses.asdict(self)))
        return path

    @classmethod
    def from_environment(cls) -> Serving:
        """The job in a process that `start` has started, or in a child of it."""
        fields = json.loads(Path(os.environ[JOB]).read_text())
        return cls(**{**fields, "ports": tuple(fields["ports"]), "cores": tuple(fields["cores"])})

    def start(
        self,
        command: Sequence[str],
        variables: Mapping[str, str] | None = None,
        stop: signal.Signals = signal.SIGTERM,
        whole_group: bool = True,
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a server in the scratch folder, with the job in its environment; see `benchmarks.process.running`."""
        return running(command, self.scratch, {JOB: str(self.save()), **(variables or {})}, stop, whole_group)


def together(predictor: Callable[[Any], Any], requests: Sequence[Any]) -> list[Any]:
    """One call of the model for the rows of several requests: the predictions of each. For tools that form batches."""
    import numpy

    rows = [numpy.asarray(one) for one in requests]
    ends = numpy.cumsum([len(one) for one in rows])
    return numpy.split(predictor(numpy.concatenate(rows)), ends[:-1])


def v2_url(job: Serving) -> str:
    """Of a model named `model` that speaks V2: REST on the first port, gRPC on the second where settings ask for it."""
    if job.settings.get("protocol") == "grpc":
        return f"grpc://{job.host}:{job.ports[1]}/model"
    return f"http://{job.host}:{job.port}/v2/models/model/infer"


@dataclasses.dataclass(frozen=True, slots=True)
class Inference:
    """A data set to predict for, once read and once written. Plain data: it may be pickled."""

    workload: str  # a file of benchmarks/workloads
    options: dict[str, Any]  # the workload's own options
    model: str  # folder with the trained weights, made once outside
    source: str  # folder of parquet files with the columns `row` (int64) and `x` (list of float32)
    scratch: str  # folder of this trial, with a short path; gone after it
    device: str  # "cpu" or "cuda"
    workers: int  # processes that hold the model
    threads: int  # compute threads a worker
    batch: int  # rows a call of the model
    address: str | None = None  # an existing cluster to attach to, in the tool's own notation
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # of this tool or variant

    def predictor(self, prepare: Callable[[Any], Any] | None = None) -> Callable[[Any], Any]:
        """As `Serving.predictor`."""
        from benchmarks import model

        return model.load(self, prepare)

    def archive(self) -> Path:
        """As `Training.archive`."""
        return archive(self.scratch)


class Inferrer(Protocol):
    """A tool with the capability `infer`."""

    def infer(self, job: Inference) -> AbstractContextManager[Callable[[str], None]]:
        """Start what is needed; give a function that makes one pass; stop on leaving. Raise Unsupported to decline.

        A pass reads `job.source` and writes parquet files with the columns `row` and `y` (list of float32) into
        the folder it is given, every row once, in any order.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Probing:
    """What a tool that is asked, and neither trains nor serves, is given."""

    scratch: str  # folder of this trial, with a short path; gone after it
    seed: int
    host: str  # the address to bind, for tools that start a server of their own
    ports: tuple[int, ...]  # free ones
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # of this tool or variant

    def start(
        self, command: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a server in the scratch folder; see `benchmarks.process.running`."""
        return running(command, self.scratch, variables or {})


class Prober(Protocol):
    """A tool with the capability `probe`."""

    def probe(self, job: Probing) -> AbstractContextManager[Mapping[str, Any]]:
        """Give the subjects of `benchmarks.probes` that the tool has, by name: objects, or Declined."""
        ...


class Server(Protocol):
    """A tool with the capability `serve`."""

    def serve(self, job: Serving) -> AbstractContextManager[Endpoint]:
        """Start serving `job.predictor()`; stop in the tool's own way on leaving. Raise Unsupported to decline.

        A module may also define `package(job)`, which makes what the tool starts from: an archive, a folder, a
        configuration. It runs before the clock of the cold start.
        """
        ...


class Workload(Protocol):
    """A file of benchmarks/workloads. `build` gives a module that also has `predict(inputs)`.

    One that TensorFlow may train, too, has `build_tensorflow(options)`: the loss, of the weights by name.
    """

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
