"""What will run, and in which order: scenarios and tools in, a list of trials out. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.errors import UsageError
from assay.scenario import Scenario, Warmup, Window
from assay.tool import Tool

PADDING = 4096  # bytes: environment sizes are drawn up to one page, the period of stack alignment effects

# Blocks a profile: rule M20. Smoke asks only whether everything works, so it also shortens the window.
QUICK_WINDOW_S = 2.0  # quick cuts longer windows to this
SMOKE_ROWS = 20_000
# Seconds idle, of warm-up and of window of a serving load (M28, M43); standard and full take the scenario's.
SERVING_S = {"smoke": (1.0, 0.5, 3.0), "quick": (3.0, 2.0, 10.0)}
PROFILES = {"smoke": 1, "quick": 3, "standard": 7, "full": 10}


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A point of a scenario's matrix for one tool."""

    scenario: str
    label: str  # tool or variant, as reports name it
    tool: str
    settings: dict[str, Any]
    device: str
    workers: int
    batch: int  # rows of the global batch
    control: bool = False  # the A/A twin
    address: str | None = None  # of a cluster to attach to

    @property
    def name(self) -> str:
        return f"{self.scenario}/{self.label}/{self.device}/{self.workers}"


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One case in one fresh process tree."""

    index: int  # position in the run, from 0
    block: int  # from 0
    position: int  # in its block, from 0
    case: Case
    hash_seed: int  # PYTHONHASHSEED
    padding: int  # bytes added to the environment, so that layout luck is noise and not bias (M15)


def profiled(scenario: Scenario, profile: str, blocks: int | None = None) -> Scenario:
    """The scenario as a profile runs it."""
    own = scenario.measure.blocks
    # An adaptive number is for verdicts; smoke and quick give none.
    keeps = profile == "standard" or (profile == "full" and not isinstance(own, int))
    measure: dict[str, Any] = {"blocks": blocks or (own if keeps else PROFILES[profile])}
    if profile == "smoke":
        # One block has no noise floor: no control.
        window = Window.model_validate({"steps": 5, "at_least": "100ms"})
        measure |= {"control": None, "warmup": Warmup(steps=2), "window": window}
    elif profile == "quick":
        window = scenario.measure.window
        measure |= {"window": window.model_copy(update={"at_least": min(window.at_least, QUICK_WINDOW_S)})}
    if scenario.load and profile in SERVING_S:
        load = scenario.load
        longest = dict(zip(("idle", "warmup", "window"), SERVING_S[profile], strict=True))
        changes: dict[str, Any] = {name: min(getattr(load, name), value) for name, value in longest.items()}
        changes |= {"single_stream": None, "offline": None}  # for a closer look than these profiles give
        if profile == "smoke":
            changes |= {"rates": load.rates[:1], "slo": None}
        scenario = scenario.model_copy(update={"load": load.model_copy(update=changes)})
    if scenario.infer and profile == "smoke":
        shorter = {"rows": min(scenario.infer.rows, SMOKE_ROWS), "passes": 1}
        scenario = scenario.model_copy(update={"infer": scenario.infer.model_copy(update=shorter)})
    return scenario.model_copy(update={"measure": scenario.measure.model_copy(update=measure)})


def cases(scenario: Scenario, tools: Mapping[str, Tool]) -> list[Case]:
    """The scenario's cases, baseline first. Raises UsageError naming every unknown tool."""
    faults = []
    for label in scenario.tool_names:
        name = scenario.variants[label].tool if label in scenario.variants else label
        if name not in tools:
            faults.append(f"{scenario.name}: no tool {name!r}; there are {', '.join(sorted(tools))}")
        elif scenario.capability not in tools[name].capabilities:
            faults.append(f"{scenario.name}: {tools[name].path} has no function {scenario.capability}")
        elif label in scenario.variants:
            known = tools[name].settings
            faults += [
                f"{scenario.name}: variants.{label}.settings: {name} reads no {key!r}; "
                f"[tool.assay] settings of its file has {', '.join(known) or 'none'}"
                for key in scenario.variants[label].settings
                if key not in known
            ]
    faults += [f"{scenario.name}: cluster: no tool {name!r}" for name in scenario.cluster if name not in tools]
    if faults:
        raise UsageError("\n".join(faults))

    def case(label: str, device: str, workers: int, control: bool = False) -> Case:
        variant = scenario.variants.get(label)
        tool = variant.tool if variant else label
        return Case(
            scenario=scenario.name,
            label=f"{label} (control)" if control else label,
            tool=tool,
            settings=dict(variant.settings) if variant else {},
            device=device,
            workers=workers,
            batch=scenario.global_batch(workers),
            control=control,
            address=scenario.cluster.get(tool),
        )

    matrix, measure = scenario.matrix, scenario.measure
    found = []
    for device in matrix.device:
        if measure.baseline and measure.baseline not in matrix.tools:
            found.append(case(measure.baseline, device, 1))
        found += [case(label, device, workers) for label in matrix.tools for workers in matrix.workers]
        if measure.control:
            found += [case(measure.control, device, workers, control=True) for workers in matrix.workers]
    return found


def plan(scenarios: Sequence[Scenario], tools: Mapping[str, Tool], seed: int) -> list[Trial]:
    """Randomised complete blocks: in every block each case once, in an order drawn for that block (M12)."""
    by_scenario = {scenario.name: cases(scenario, tools) for scenario in scenarios}
    trials: list[Trial] = []
    for block in range(max((scenario.measure.most_blocks for scenario in scenarios), default=0)):
        for scenario in scenarios:
            if block >= scenario.measure.most_blocks:
                continue
            draw = random.Random(f"{seed}:{scenario.name}:{block}")
            order = list(by_scenario[scenario.name])
            draw.shuffle(order)
            trials += [
                Trial(
                    index=len(trials) + position,
                    block=block,
                    position=position,
                    case=case,
                    hash_seed=draw.randrange(2**32),
                    padding=draw.randrange(PADDING),
                )
                for position, case in enumerate(order)
            ]
    return trials


def select(found: Iterable[str], wanted: Sequence[str], what: str) -> list[str]:
    """The wanted names, all where none is given. Raises UsageError listing every unknown one."""
    known = list(found)
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(f"no {what} {', '.join(map(repr, unknown))}; there are {', '.join(sorted(known))}")
    return list(dict.fromkeys(wanted)) or known


def restrict(scenario: Scenario, labels: Sequence[str], devices: Sequence[str], workers: Sequence[int]) -> Scenario:
    """The scenario with only the chosen tools, devices and worker counts; the baseline stays."""
    matrix = scenario.matrix
    kept = [label for label in matrix.tools if not labels or label in labels]
    changes = {
        "tools": kept,
        "device": list(devices) or matrix.device,
        "workers": list(workers) or matrix.workers,
    }
    control = scenario.measure.control if scenario.measure.control in kept else None
    return scenario.model_copy(
        update={
            "matrix": matrix.model_copy(update=changes),
            "measure": scenario.measure.model_copy(update={"control": control}),
        }
    )


def key(**parts: Any) -> str:
    """A short digest of named parts, for file names."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
