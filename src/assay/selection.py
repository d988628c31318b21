"""What a user asks for, checked whole and planned, before anything is built or started."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay import plan, scenario, tool
from assay.errors import AssayError, ScenarioError, UsageError
from assay.plan import Trial
from assay.scenario import Scenario
from assay.tool import Tool

REFERENCE_TOOL = "single_process"  # whose environment makes references where a scenario names no baseline


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a user asks of a run. Everything that decides the plan; stored, so that a resumed run is the same."""

    scenarios: tuple[str, ...] = ()  # names; none: all
    tools: tuple[str, ...] = ()  # labels; none: all
    devices: tuple[str, ...] = ()
    workers: tuple[int, ...] = ()
    profile: str = "quick"
    blocks: int | None = None
    seed: int | None = None
    python: str | None = None
    cluster: tuple[tuple[str, str], ...] = ()  # tool to address
    scenario_folder: str = "scenarios"
    tool_folders: tuple[str, ...] = ("benchmarks/tools",)
    case: str | None = None  # only this one, by its name
    control: str | None = None  # instead of the scenario's


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie. `root` holds the `benchmarks` package; the rest follows from where assay is used."""

    root: Path
    state: Path  # runs that are not sealed, inputs, calibration

    @classmethod
    def find(cls, start: Path) -> Layout:
        """The nearest folder upwards with `benchmarks/contract.py`. Raises UsageError."""
        for folder in (start, *start.parents, Path(__file__).resolve().parents[2]):
            if (folder / "benchmarks/contract.py").is_file():
                return cls(folder, folder / ".assay")
        raise UsageError(f"{start}: no benchmarks/contract.py here or above; run assay in a checkout of its repository")

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    @property
    def environments(self) -> Path:
        return self.root / ".envs"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def workloads(self) -> Path:
        return self.root / "benchmarks/workloads"

    @property
    def limits(self) -> Path:
        """The user's own limits of the noise gate."""
        return self.root / "noise.toml"

    @property
    def calibration(self) -> Path:
        return self.state / "noise.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A checked plan, before anything is built or started."""

    scenarios: list[Scenario]
    tools: dict[str, Tool]  # those that the plan needs
    trials: list[Trial]
    seed: int
    digest: str  # of everything that decides what is run


def prepare(options: Options, layout: Layout) -> Prepared:
    """Read, check and plan. Raises AssayError with every fault of the first step that has any."""
    found = tool.find([layout.root / folder for folder in options.tool_folders], layout.root)
    paths = scenario.find(layout.root / options.scenario_folder)
    names = plan.select(paths, options.scenarios, "scenario")
    loaded, faults = [], []
    for name in names:
        try:
            loaded.append(scenario.load(paths[name], layout.workloads))
        except AssayError as fault:
            faults.append(str(fault))
    if faults:
        raise ScenarioError("\n".join(faults))
    labels = list(dict.fromkeys(label for one in loaded for label in one.matrix.tools))
    baselines = {one.measure.baseline for one in loaded}
    extra = [label for label in options.tools if label in found and label not in labels and label not in baselines]
    plan.select([*labels, *extra, *filter(None, baselines)], options.tools, "tool in these scenarios")
    chosen = []
    for one in loaded:
        # A tool named on the command line is measured even where the scenario's file does not list it.
        asked = [label for label in extra if one.capability in found[label].capabilities]
        matrix = one.matrix.model_copy(update={"tools": [*one.matrix.tools, *asked]})
        one = one.model_copy(update={"matrix": matrix, "cluster": {**one.cluster, **dict(options.cluster)}})
        if options.control:
            measure = one.measure.model_copy(update={"control": options.control})
            listed = list(dict.fromkeys([*one.matrix.tools, options.control]))
            matrix = one.matrix.model_copy(update={"tools": listed})
            one = one.model_copy(update={"measure": measure, "matrix": matrix})
        # Whether a tool trains shows with the most workers; one that infers may take a single one alone.
        most = options.profile == "smoke" and one.capability == "train"
        workers = options.workers or ((max(one.matrix.workers),) if most else ())
        one = plan.restrict(one, options.tools, options.devices, workers)
        # A scenario that is named runs in any profile; else its file says in which.
        if (one.matrix.tools or one.measure.baseline in options.tools) and (
            options.scenarios or options.profile in one.profiles
        ):
            chosen.append(plan.profiled(one, options.profile, options.blocks))
    faults = [f"{one.name}: {key}: {message}" for one in chosen for key, message in scenario.cross_faults(one)]
    if faults:
        raise UsageError("\n".join(faults))
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    trials = plan.plan(chosen, found, seed)
    if options.case:
        trials = [one for one in trials if one.case.name == options.case]
    used = {one.case.tool for one in trials} | {
        one.measure.baseline or REFERENCE_TOOL for one in chosen if one.capability != "probe"
    }
    if missing := used - found.keys():
        raise UsageError(
            f"no tool {', '.join(sorted(missing))} in {', '.join(options.tool_folders)}; references need it"
        )
    tools = {name: found[name] for name in sorted(used)}
    return Prepared(chosen, tools, trials, seed, code_digest(chosen, tools, layout))


def code_digest(scenarios: Sequence[Scenario], tools: Mapping[str, Tool], layout: Layout) -> str:
    digest = hashlib.sha256()
    files = [*sorted((layout.root / "benchmarks").rglob("*.py")), *(one.path for one in tools.values())]
    for path in files:
        digest.update(path.read_bytes())
    for one in scenarios:
        digest.update(one.text.encode())
    return digest.hexdigest()
