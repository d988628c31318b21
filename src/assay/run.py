"""A run: one invocation, from scenarios to sealed results. Resumable at any trial."""

from __future__ import annotations

import dataclasses
import datetime
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import assay
from assay import (
    energy,
    environment,
    inference,
    inputs,
    machine,
    probing,
    reference,
    runner,
    sequential,
    serving,
    store,
    tree,
    trial,
    wire,
)
from assay.attempts import ATTEMPT, REPEATS, attempt_name, outcome_word, remaining_trials, throughput
from assay.checkout import git_state
from assay.environment import Environment
from assay.errors import UsageError
from assay.inputs import Inputs
from assay.journal import Entry, Journal
from assay.plan import Trial
from assay.progress import Progress
from assay.sampler import Gpu
from assay.selection import REFERENCE_TOOL, Layout, Options, Prepared, code_digest, prepare
from assay.tool import Tool
from assay.trial import Reference

MOST_SAMPLER = 0.02  # of a core (M60)
METHOD_VERSION = 1  # rows of different method versions are never mixed


def start(options: Options, layout: Layout, argv: Sequence[str]) -> tuple[Journal, Prepared]:
    """A new run's journal; the first run on a machine calibrates the noise gate. The caller holds `only_one`."""
    prepared = prepare(options, layout)
    if not prepared.trials:
        raise UsageError("nothing to run: no scenario has the chosen tools; see assay list scenarios")
    options = dataclasses.replace(options, seed=prepared.seed)
    if layout.runs.is_dir():
        tree.end_leftovers({path.name for path in layout.runs.iterdir()}, runner.GRACE_S)
    now = datetime.datetime.now(datetime.UTC)
    commit, dirty = git_state(layout.root)
    if options.profile != "smoke" and not layout.calibration.exists():
        # Limits that are no machine's own reject every second trial on a shared one. Nothing runs yet: it is idle.
        print("measuring how quiet this idle machine is, 25 s", file=sys.stderr)
        machine.calibrate(layout.calibration)
    limits = machine.Calibration.load(layout.calibration, layout.limits)
    header = {
        "run": f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        "started_utc": now.isoformat(timespec="seconds"),
        "assay": assay.__version__,
        "method_version": METHOD_VERSION,
        "commit": commit,
        "dirty": dirty,
        "profile": options.profile,
        "seed": prepared.seed,
        "argv": json.dumps(list(argv)),
        "python": options.python,
        "noise_gate": json.dumps(dataclasses.asdict(limits)),
        "machine": json.dumps(machine.facts()),
        "scenarios": [
            {
                "scenario": one.name,
                "scenario_text": one.text,
                "scenario_digest": one.digest,
                "blocks": one.measure.model_dump_json(include={"blocks"}),
                "control": one.measure.control,
            }
            for one in prepared.scenarios
        ],
    }
    journal = Journal.create(layout.runs, header)
    journal.write("options", {**dataclasses.asdict(options), "digest": prepared.digest})
    return journal, prepared


def resume(name: str | None, layout: Layout) -> tuple[Journal, Prepared, Options]:
    """The named run or the newest that did not end. Raises UsageError where what it would run has changed since.

    The caller holds `only_one`.
    """
    sealed = {path.stem for path in (layout.results / "runs").glob("*.parquet")}
    journal = Journal.find(layout.runs, name, sealed)
    stored = journal.read("options")
    digest = stored.pop("digest")
    stored["cluster"] = tuple((key, value) for key, value in stored["cluster"])
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    options = Options(**fields)
    prepared = prepare(options, layout)
    if prepared.digest != digest:
        raise UsageError(
            f"{journal.run}: scenarios or benchmarks/ have changed since it began, so its trials would not be alike; "
            "restore them or start a new run"
        )
    tree.end_leftovers({path.name for path in layout.runs.iterdir()}, runner.GRACE_S)
    journal.mend()
    return journal, prepared, options


class Run:
    """The state of a run while it lasts."""

    def __init__(
        self, journal: Journal, prepared: Prepared, options: Options, layout: Layout, progress: Progress
    ) -> None:
        self.journal, self.prepared, self.options, self.layout = journal, prepared, options, layout
        self.progress = progress
        self.scenarios = {one.name: one for one in prepared.scenarios}
        self.inputs: dict[str, Inputs] = {}  # by scenario
        self.models: dict[str, Inputs | str] = {}  # by scenario, of those that serve; a string says why there is none
        self.environments: dict[str, Environment] = {}
        self.references: dict[str, Reference | str] = {}  # by file name; a string says why there is none
        self.references_made: set[str] = set()  # names that the journal has
        self.limits = machine.Calibration.load(layout.calibration, layout.limits)
        self.probe: machine.Probe | None = None
        self.cuda = machine.has_cuda()
        self.gpu = Gpu.find() if self.cuda else None
        self.stops = sequential.Stops(journal.folder)
        self.ended: set[str] = set()  # scenarios that stopped by themselves
        self.begun: set[tuple[str, int]] = set()  # scenario and block, of those that an earlier process began
        self.echo: Callable[[wire.Record], None] | None = None  # sees every record of a trial as it comes
        self.environments_of: Callable[[list[Tool]], dict[str, Environment]] = self.build

    def execute(self, refresh: bool = True, seal: bool = True) -> None:
        """Everything that is not done yet, then seal. An exception leaves a run that can be resumed.

        The caller holds `only_one`.
        """
        tree.become_subreaper()
        self.make_environments()
        self.make_inputs()
        done = list(self.journal.entries())
        self.progress.resume(done)
        self.references_made = {entry.name for entry in done if entry.name.startswith("reference")}
        remaining = remaining_trials(self.prepared.trials, done)
        names = {entry.name for entry in done}
        self.begun = {(one.case.scenario, one.block) for one in self.prepared.trials if str(one.index) in names}
        last_of_block = {(one.block, one.case.scenario): one.index for one in self.prepared.trials}
        for one in remaining:
            if self.enough(one):
                continue
            if code_digest(self.prepared.scenarios, self.prepared.tools, self.layout) != self.prepared.digest:
                raise UsageError(
                    "scenarios or benchmarks/ changed while the run was going on: later trials would not be like the "
                    f"earlier; restore them, then: assay run --resume {self.journal.run}"
                )
            self.run_trial(one, done)
            if refresh and last_of_block[one.block, one.case.scenario] == one.index and one is not remaining[-1]:
                refresh_report(self.layout, self.journal.run)
                self.probe = None  # the machine was busy since
        if seal:
            store.seal(self.journal, self.layout.results, trial.utc())
        self.progress.close()

    def enough(self, one: Trial) -> bool:
        """Whether the trial's scenario stops by itself and every comparison was decided before this block."""
        scenario, blocks = one.case.scenario, self.scenarios[one.case.scenario].measure.blocks
        if isinstance(blocks, int):
            return False
        if (scenario, one.block) in self.begun:
            return False  # a look in the middle of a block would be one too many
        known = self.stops.known(scenario, one.block)
        stopped = self.stops.enough(scenario, blocks.min, blocks.max, one.block)
        if not known:
            self.probe = None  # the machine was busy since
            if stopped and scenario not in self.ended:
                self.ended.add(scenario)
                self.progress.stop(scenario)
                self.progress.say(f"{scenario}: every comparison is decided after {one.block} blocks")
        return stopped

    def make_environments(self) -> None:
        self.environments = self.environments_of(list(self.prepared.tools.values()))
        rows = [
            {
                "run": self.journal.run,
                "tool": one.tool,
                "outcome": one.outcome,
                "error": one.error or None,
                "remedy": one.remedy or None,
                "python": one.python_version or None,
                "digest": one.digest,
                "build_s": one.build_s,
                "size_bytes": one.size or None,
                **package,
            }
            for one in self.environments.values()
            for package in ([dataclasses.asdict(package) for package in one.packages] or [{"name": None}])
        ]
        for row in rows:
            row["package"] = row.pop("name")
        self.journal.write("environments", rows)

    def build(self, tools: list[Tool]) -> dict[str, Environment]:
        """Each tool's own environment, or the interpreter that is given for all."""
        if self.options.python:
            return environment.provisioned(tools, Path(self.options.python))
        self.progress.say(f"building {len(tools)} environments in {self.layout.environments.name}/")
        return environment.build_all(tools, self.layout.environments, self.progress.environment)

    def make_inputs(self) -> None:
        run, say = self.journal.run, self.progress.say
        for one in self.prepared.scenarios:
            if one.capability == "probe":
                continue
            self.inputs[one.name] = given = inputs.make(one, self.layout, run, say)
            if one.capability == "train":
                continue
            maker = one.measure.baseline or REFERENCE_TOOL
            python = self.environments[maker].python
            if not python:
                self.models[one.name] = f"{maker}: {self.environments[maker].error}"
                continue
            try:
                self.models[one.name] = inputs.make_model(one, given, python, self.layout, run, say)
            except UsageError as fault:  # other scenarios go on without it
                self.models[one.name] = str(fault)
        digests = {name: given.digests for name, given in self.inputs.items()}
        for name, model in self.models.items():
            if isinstance(model, Inputs):
                digests[name] = {**digests[name], **{f"model/{file}": value for file, value in model.digests.items()}}
        self.journal.write("inputs", digests)

    def run_trial(self, one: Trial, done: list[Entry]) -> None:
        """A trial and its repeats; each becomes a file and a line."""
        for attempt in range(REPEATS + 1):
            name = attempt_name(one, attempt)
            if any(entry.name == name for entry in done):
                continue
            number = attempt * ATTEMPT + one.index
            self.progress.begin(one, attempt)
            row = self.attempt(one, number, self.journal.path(name), attempt)
            entry = Entry(
                name=name,
                case=one.case.name,
                outcome=outcome_word(row),
                wall_s=row.get("wall_ns", 0) / 1e9,
                throughput=throughput(row),
            )
            self.journal.append(entry)
            self.progress.end(one, entry, row)
            if entry.outcome != "invalid NOISE":
                return

    def attempt(self, one: Trial, number: int, path: Path, attempt: int) -> dict[str, Any]:
        """Run one attempt into its file. What a worker sent that cannot be used is that trial's error alone."""
        try:
            with store.TrialFile(path, number) as file:
                measured, loads = self.trial_row(one, number, file)
                row = {**measured, "attempt": attempt}
                if row["outcome"] == "ok":
                    row["log_tail"] = None
                file.finish(row, loads)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as fault:
            # pyarrow's own errors derive from these.
            row = {
                **trial.base_row(one, number, self.environments[one.case.tool].digest, self.journal.run),
                "attempt": attempt,
                "outcome": "error",
                "phase": "teardown",
                "error": f"what it sent cannot be used: {type(fault).__name__}: {fault}",
            }
            with store.TrialFile(path, number) as file:
                file.finish(row)
        return row

    def trial_row(self, one: Trial, number: int, file: store.TrialFile) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Run one attempt, or say why it cannot be run; returns its row and those of its loads."""
        reason = self.obstacle(one)
        if isinstance(reason, tuple):
            built = self.environments[one.case.tool]
            base = trial.base_row(one, number, built.digest if built.python else None, self.journal.run)
            return base | {"outcome": reason[0], "phase": "environment", "error": reason[1]}, []
        question = self.scenarios[one.case.scenario]
        # What is asked once is right or wrong, however busy the machine is.
        timed = question.capability != "probe" and not (question.load and question.load.probes)
        gate = timed and self.options.profile != "smoke"
        before = (self.probe or machine.settled(self.limits)) if gate else None
        began, counted = time.monotonic(), energy.read(gpu=self.gpu)
        measured, loads = self.measure(one, number, file)
        measured |= energy.fields(counted, energy.read(gpu=self.gpu), time.monotonic() - began)
        share = (measured.get("sampler_cpu_s") or 0.0) / max(1e-9, (measured.get("wall_ns") or 0) / 1e9)
        if timed and measured["outcome"] == "ok" and share > MOST_SAMPLER:
            error = f"the memory sampler used {share:.1%} of a core, more than {MOST_SAMPLER:.0%}"
            measured |= {"outcome": "invalid", "codes": "SAMPLER", "error": error}
        if before:
            # One probe serves two trials, the end of this one and the start of the next; a noisy one only its own.
            after = machine.probe()
            self.probe = None if machine.unquiet(after, self.limits) else after
            measured |= trial.noise_fields(before, after)
            found = machine.noise(before, after, self.limits)
            if measured["outcome"] == "ok" and found:
                measured |= {"outcome": "invalid", "codes": "NOISE", "error": "; ".join(found)}
        return measured, loads

    def obstacle(self, one: Trial) -> tuple[str, str] | None:
        """Outcome and error of a trial that cannot be run."""
        case, built, tool = one.case, self.environments[one.case.tool], self.prepared.tools[one.case.tool]
        if built.outcome != "ok":
            return built.outcome, f"{built.error}\nremedy: {built.remedy}"
        if case.device not in tool.devices:
            return "unsupported", f"{tool.title} is measured on {', '.join(tool.devices)} only"
        if case.device == "cuda" and not self.cuda:
            return "unsupported", "this machine has no CUDA device (nvidia-smi lists none)"
        if self.scenarios[case.scenario].capability == "probe":
            return None
        trains = self.scenarios[case.scenario].capability == "train"
        found = self.reference(one) if trains else self.models[case.scenario]
        if isinstance(found, str):
            return "error", f"there is nothing to check against: {found}"
        return None

    def measure(self, one: Trial, number: int, file: store.TrialFile) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        case, question = one.case, self.scenarios[one.case.scenario]
        tool, built = self.prepared.tools[case.tool], self.environments[case.tool]
        log = self.journal.folder / "logs" / f"{number}.log"
        attempt = trial.Attempt(
            trial=one,
            number=number,
            scenario=question,
            tool=tool,
            environment=built,
            root=self.layout.root,
            run=self.journal.run,
            file=file,
            log=log,
            on_phase=self.progress.phase,
            echo=self.echo,
        )
        if question.capability == "probe":
            return probing.execute(attempt), []
        given = self.inputs[case.scenario]
        model = self.models.get(case.scenario)
        if isinstance(model, Inputs) and question.infer:
            return inference.execute(attempt, given.options, model.files), []
        if isinstance(model, Inputs):
            # One schedule a block: every tool of it is offered the same.
            return serving.execute(attempt, given.options, model.files, self.prepared.seed + one.block)
        expected = self.reference(one)
        assert isinstance(expected, Reference)
        fields = trial.job(case, question, given.options, given.files, expected.window_steps)
        alike = [
            dataclasses.replace(case, workers=workers, batch=question.global_batch(workers))
            for workers in {1, *question.matrix.workers} - {case.workers}
        ]
        known = {other.workers: self.references.get(reference.name(other)) for other in alike}
        others = {chunks: found.losses for chunks, found in known.items() if isinstance(found, Reference)}
        return trial.execute(attempt, fields, expected, others), []

    def reference(self, one: Trial) -> Reference | str:
        """The trace that a case is checked against, made in the baseline's environment when first needed."""
        case, question = one.case, self.scenarios[one.case.scenario]
        name = reference.name(case)
        if name not in self.references:
            path = self.journal.path(name)
            if name not in self.references_made:
                tool = question.measure.baseline or REFERENCE_TOOL
                number = (REPEATS + 1) * ATTEMPT + len(self.references_made)
                self.progress.say(f"{case.scenario}: reference with {reference.chunks(case)} gradient chunks")
                row = reference.make(
                    one,
                    number,
                    tool,
                    self.environments[tool],
                    question,
                    self.inputs[case.scenario],
                    self.layout.root,
                    self.journal.run,
                    path,
                    self.journal.folder / "logs" / f"{number}.log",
                    self.progress.phase,
                )
                wall_s = row.get("wall_ns", 0) / 1e9
                self.journal.append(Entry(name=name, case=case.name, outcome=row["outcome"], wall_s=wall_s))
                self.references_made.add(name)
                self.probe = None  # the machine was busy since
            self.references[name] = reference.read(path)
        return self.references[name]


def refresh_report(layout: Layout, run: str) -> None:
    """Render in a process of its own: plotting would leave the engine larger for the trials to come."""
    command = [sys.executable, "-m", "assay", "report", "--run", run, "--quiet"]
    subprocess.run(command, cwd=layout.root, check=False)
