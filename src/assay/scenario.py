"""A scenario: a question as a TOML file, checked whole before anything runs."""

from __future__ import annotations

import ast
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

from assay.errors import ScenarioError, UsageError

UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
SIZES = {"MiB": 2**20, "GiB": 2**30}


def seconds(value: Any) -> Any:
    """`90s` or `5m` as seconds; a bare number is refused because its unit is a guess."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('write a duration with its unit, such as "10s" or "5m"')
    return float(match[1]) * UNITS[match[2]]


def size(value: Any) -> Any:
    """`8GiB` as bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(MiB|GiB)", value) if isinstance(value, str) else None
    if not match:
        raise ValueError('write a size with its unit, such as "512MiB" or "8GiB"')
    return int(float(match[1]) * SIZES[match[2]])


Seconds = Annotated[float, BeforeValidator(seconds, json_schema_input_type=str)]
Bytes = Annotated[int, BeforeValidator(size, json_schema_input_type=str)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Matrix(Model):
    """What is crossed with what: every tool at every device and number of workers."""

    tools: list[str] = Field(min_length=1)
    device: list[Literal["cpu", "cuda"]] = Field(default=["cpu"], min_length=1)
    workers: list[PositiveInt] = Field(default=[1], min_length=1)


class Optimizer(Model):
    """Plain SGD; every value is explicit, so no tool's default can stand in for it."""

    lr: float = Field(gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)


class Quality(Model):
    """Train to a quality target first: `steps` steps with an evaluation every `every`."""

    target: float
    steps: PositiveInt
    every: PositiveInt


class Warmup(Model):
    steps: PositiveInt = 20


class Window(Model):
    steps: PositiveInt = 50
    at_least: Seconds = 2.0


class Slo(Model):
    """A bound on a quantile of the response time; the largest rate that keeps it is searched for."""

    quantile: float = Field(gt=0.5, lt=1)
    within: Seconds
    start: float = Field(default=16.0, gt=0)  # the first rate tried
    ceiling: float = Field(default=4096.0, gt=0)  # never offered more
    window: Seconds = 10.0  # of each rate tried


class Load(Model):
    """What a server is offered, the same schedule for every tool of a block."""

    rates: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)  # requests a second, one load after the other
    rows: PositiveInt = 1  # of a request
    arrivals: Literal["poisson", "constant"] = "poisson"
    idle: Seconds = 5.0  # between the first right answer and the first load: what the server holds when idle
    warmup: Seconds = 10.0  # at each load's own rate
    window: Seconds = 60.0
    request_timeout: Seconds = 10.0
    generators: PositiveInt = 1  # processes that send, each on a core of its own; fewer where there are not as many
    single_stream: Seconds | None = None  # one request at a time for so long (MLPerf's SingleStream)
    offline: Seconds | None = None  # `concurrency` requests at a time for so long (saturation; MLPerf's Offline)
    concurrency: PositiveInt = 16
    slo: Slo | None = None
    probes: bool = False  # also ask what else the server offers: metrics, a second model, gRPC


class Infer(Model):
    """A parquet data set that is predicted for, and how often: one cold pass, then warm ones."""

    rows: PositiveInt = 200_000
    parts: PositiveInt = 8  # files
    batch: PositiveInt = 8192  # rows a call of the model
    passes: PositiveInt = 3  # after the cold one


class Adaptive(Model):
    """Blocks until every comparison is decided: at least `min`, at most `max` (profiles standard and full)."""

    min: int = Field(ge=5)  # below it there is no verdict
    max: PositiveInt
    until: Literal["decided"] = "decided"


class Measure(Model):
    blocks: PositiveInt | Adaptive = 7
    warmup: Warmup = Warmup()
    window: Window = Window()
    timeout: Seconds = 300.0  # of a whole trial
    launch_timeout: Seconds = 180.0  # until every rank is in the loop
    memory: Bytes | None = None  # limit of the whole process tree
    disk: Bytes = 4 * 2**30  # limit of the trial's scratch folder and log
    baseline: str | None = None
    control: str | None = None

    @property
    def most_blocks(self) -> int:
        return self.blocks if isinstance(self.blocks, int) else self.blocks.max


class Loss(Model):
    within: float = Field(default=1e-4, gt=0)  # relative gap at every step


class Check(Model):
    loss: Loss = Loss()


class Variant(Model):
    """A tool under another name with settings of its own, as a separate case."""

    tool: str
    settings: dict[str, str | int | float | bool]


class Scenario(Model):
    """A question: one workload, a matrix of cases, and how they are measured and checked.

    Training needs `optimizer` and a batch; serving needs `load`, and `workers` are replicas of the model; batch
    inference needs `infer`; a scenario of probes needs none of them, and no workload.
    """

    name: str  # the file's stem
    text: str  # the file as it was read
    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    shows_not: str = ""  # what a reader must not conclude from it
    # Those in which it runs without being named.
    profiles: list[Literal["smoke", "quick", "standard", "full"]] = ["smoke", "quick", "standard", "full"]
    capability: Literal["train", "serve", "infer", "probe"]
    workload: str = ""
    seed: int = Field(default=1, ge=0)
    batch: PositiveInt | None = None  # rows of the global batch: strong scaling
    batch_per_worker: PositiveInt | None = None  # weak scaling
    options: dict[str, str | int | float | bool] = {}
    optimizer: Optimizer = Optimizer(lr=0.01)
    quality: Quality | None = None
    load: Load | None = None
    infer: Infer | None = None
    subjects: list[str] = []  # of `benchmarks.probes` that tools are asked about; all of them where none is named
    matrix: Matrix
    measure: Measure = Measure()
    check: Check = Check()
    variants: dict[str, Variant] = {}
    cluster: dict[str, str] = {}  # tool name to the address of a cluster that already runs

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def global_batch(self, workers: int) -> int:
        """Rows of a step of all workers; of a request, or of a call of the model."""
        if self.load:
            return self.load.rows
        if self.infer:
            return self.infer.batch
        if self.capability == "probe":
            return 0
        return self.batch or (self.batch_per_worker or 0) * workers

    @property
    def tool_names(self) -> list[str]:
        """Every name that the scenario uses for a tool, baseline first."""
        named = [self.measure.baseline, *self.matrix.tools, self.measure.control]
        return list(dict.fromkeys(name for name in named if name))


FROM_FILE = {"name", "text"}


def load(path: Path, workloads: Path) -> Scenario:
    """Read and check a scenario file. Raises ScenarioError listing every fault with its line or key."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ScenarioError(f"{path}: not TOML: {fault}") from fault
    except (OSError, UnicodeDecodeError) as fault:
        raise ScenarioError(f"{path}: cannot be read: {fault}") from fault
    faults = [(key, "is taken from the file; remove it") for key in FROM_FILE & document.keys()]
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate({**document, "name": path.stem, "text": text})
    except pydantic.ValidationError as error:
        faults += [
            (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")) for fault in error.errors()
        ]
    if scenario:
        faults += cross_faults(scenario)
    faults += workload_faults(document, workloads)
    if faults or scenario is None:
        lines = [f"{path}{place(text, key)}: {key}: {message}" for key, message in faults]
        raise ScenarioError("\n".join(lines))
    return scenario


def cross_faults(scenario: Scenario) -> list[tuple[str, str]]:
    """Faults that concern several keys at once."""
    faults = []
    for capability, keys in SECTIONS.items():
        own = capability == scenario.capability
        faults += [
            (key, f"belongs to capability {capability}; remove it")
            for key in (*keys, *OPTIONAL.get(capability, ()))
            if not own and key in scenario.model_fields_set
        ]
        faults += [
            (key, f"a scenario of capability {capability} says it")
            for key in keys
            if own and key not in scenario.model_fields_set
        ]
    if scenario.load and scenario.load.slo and scenario.load.slo.start > scenario.load.slo.ceiling:
        faults.append(("load.slo.start", "is above load.slo.ceiling"))
    if (scenario.capability == "probe") == bool(scenario.workload):
        faults.append(("workload", "say which; only a scenario of probes has none"))
    if scenario.capability != "train":
        return faults + common_faults(scenario)
    if (scenario.batch is None) == (scenario.batch_per_worker is None):
        faults.append(("batch", "give batch (strong scaling) or batch_per_worker (weak scaling), and only one"))
    if scenario.batch:
        faults += [
            ("matrix.workers", f"batch = {scenario.batch} cannot be split among {workers} workers evenly")
            for workers in scenario.matrix.workers
            if scenario.batch % workers
        ]
    if scenario.quality and scenario.quality.every > scenario.quality.steps:
        faults.append(("quality.every", "is larger than quality.steps: quality would never be evaluated"))
    return faults + common_faults(scenario)


SECTIONS = {"train": ("optimizer",), "serve": ("load",), "infer": ("infer",), "probe": ()}
OPTIONAL = {"train": ("batch", "batch_per_worker", "quality"), "probe": ("subjects",)}


def common_faults(scenario: Scenario) -> list[tuple[str, str]]:
    """Those of every capability."""
    faults = []
    blocks = scenario.measure.blocks
    if isinstance(blocks, Adaptive):
        if blocks.max < blocks.min:
            faults.append(("measure.blocks.max", "is below measure.blocks.min"))
        if not scenario.measure.control:
            faults.append(("measure.control", "is missing: without a control nothing is ever decided"))
    control = scenario.measure.control
    if control and control not in scenario.matrix.tools:
        faults.append(("measure.control", f"{control!r} is not among matrix.tools: the twin needs its original"))
    for name in ("tools", "device", "workers"):
        values = getattr(scenario.matrix, name)
        if len(set(values)) < len(values):
            faults.append((f"matrix.{name}", "names a value twice"))
    return faults


def workload_faults(document: dict[str, Any], workloads: Path) -> list[tuple[str, str]]:
    """Unknown workloads and options; the known ones are read from the workload's file as text."""
    known = {path.stem.replace("_", "-"): path for path in workloads.glob("*.py") if "OPTIONS" in path.read_text()}
    name, options = document.get("workload"), document.get("options", {})
    if not isinstance(name, str) or not name or not isinstance(options, dict):
        return []  # reported by the model
    if name not in known:
        return [("workload", f"{name!r} is none of {', '.join(sorted(known))}")]
    defaults = workload_options(known[name])
    faults = []
    for key, value in options.items():
        if key not in defaults:
            faults.append((f"options.{key}", f"{name} has no such option; it has {', '.join(defaults)}"))
        elif not isinstance(value, type(defaults[key])) and not (
            isinstance(value, int) and isinstance(defaults[key], float)
        ):
            faults.append((f"options.{key}", f"expected a value like {defaults[key]!r}"))
    return faults


def workload_options(path: Path) -> dict[str, Any]:
    """The OPTIONS of a workload's file: names with default values."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(name, ast.Name) and name.id == "OPTIONS" for name in node.targets
        ):
            options: dict[str, Any] = ast.literal_eval(node.value)
            return options
    raise ScenarioError(f"{path}: a workload defines OPTIONS, a dictionary of literals")


def place(text: str, key: str) -> str:
    """The place `:<line>` of a dotted key, as well as it can be found without a parser that keeps lines."""
    last = key.split(".")[-1]
    found = [last, *reversed(key.split(".")[:-1])]
    for name in found:
        match = re.search(rf"(?m)^[^#\n]*\b{re.escape(name)}\b", text)
        if match:
            return f":{text.count(chr(10), 0, match.start()) + 1}"
    return ""


def find(folder: Path) -> dict[str, Path]:
    """Scenario files below `folder` by name. Raises UsageError where there is none."""
    paths = {path.stem: path for path in sorted(folder.glob("**/*.toml")) if path.stem not in NOT_SCENARIOS}
    if not paths:
        raise UsageError(f"{folder}: no scenarios (*.toml) here; give --scenarios FOLDER")
    return paths


NOT_SCENARIOS = {"evidence", "moscow", "prices", "releases", "status"}  # beside scenarios, for the tables


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, for editors."""
    schema = Scenario.model_json_schema()
    for key in FROM_FILE:
        del schema["properties"][key]
        schema["required"].remove(key)
    return schema
