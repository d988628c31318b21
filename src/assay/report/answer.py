"""What follows from a question's trials: comparisons, speed-ups, and the answer in plain words. Pure."""

from __future__ import annotations

import collections
import dataclasses
import json
import shlex
from collections.abc import Sequence
from typing import Any

from assay import sequential
from assay import statistics as rules
from assay.measured import FIRST_STEP, METRICS, THROUGHPUT, Case, Metric, Question
from assay.report.figures import interval_text
from assay.statistics import Comparison, Estimate

NOISY = 0.25  # attempts rejected a trial, from which a campaign says so at its top


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A question on one device with what follows from it."""

    question: Question
    device: str
    comparisons: dict[int, dict[str, Comparison]]  # workers to label to throughput against the control tool
    floors: dict[int, tuple[Estimate | None, float | None]]  # workers to A/A ratio and noise floor
    speedups: dict[str, dict[int, Estimate]]  # label to workers to speed-up over the baseline

    def estimate(self, case: Case, metric: Metric) -> Estimate | None:
        return rules.geometric(list(case.values(metric).values()))

    @property
    def cases(self) -> list[Case]:
        return [case for case in self.question.cases if case.device == self.device]


def answer(question: Question, device: str) -> Answer:
    """Everything derived: comparisons, noise floors, speed-ups."""
    baseline = question.case(question.baseline, device, 1) if question.baseline else None
    baseline_values = baseline.values(THROUGHPUT) if baseline else {}
    floors: dict[int, tuple[Estimate | None, float | None]] = {}
    speedups: dict[str, dict[int, Estimate]] = {}
    pairs: dict[tuple[int, str], rules.Pair] = {}
    for workers in question.workers(device):
        cases = [case for case in question.cases if (case.device, case.workers) == (device, workers)]
        original = question.case(question.control, device, workers) if question.control else None
        twin = next((case for case in cases if case.control), None)
        if original and twin:
            floors[workers] = rules.noise_floor(twin.values(THROUGHPUT), original.values(THROUGHPUT))
        for case in cases:
            if original and case is not original and not case.control:
                floor = floors.get(workers, (None, None))[1]
                pairs[workers, case.label] = rules.Pair(case.values(THROUGHPUT), original.values(THROUGHPUT), floor)
            estimate = rules.geometric(rules.ratios(case.values(THROUGHPUT), baseline_values))
            if estimate and not case.control:
                speedups.setdefault(case.label, {})[workers] = estimate
    comparisons: dict[int, dict[str, Comparison]] = {}
    alpha = sequential.level(question.adaptive)
    judged = rules.compare(pairs, larger_is_faster=True, seed=question.run["seed"], alpha=alpha)
    for (workers, label), comparison in judged.items():
        sides = [question.case(name, device, workers) for name in (label, question.control or "")]
        comparisons.setdefault(workers, {})[label] = steadily(comparison, *sides)
    return Answer(question, device, comparisons, floors, speedups)


def steadily(comparison: Comparison, case: Case | None, base: Case | None) -> Comparison:
    """The comparison, undecided where a case would be called faster whose windows never became steady (M30).

    Where those of the base did not either, it is the machine that is unsteady, and the pairs have both sides in it.
    """
    alone = case and case.unsteady and base and not base.unsteady
    return dataclasses.replace(comparison, word="undecided") if alone and comparison.word == "faster" else comparison


def sentences(one: Answer) -> list[str]:
    """The answer in plain words, with values, intervals and n."""
    question = one.question
    found = []
    for workers in reversed(question.workers(one.device)):
        ranked = sorted(
            (
                (estimate, case)
                for case in one.cases
                if case.workers == workers and not case.control and (estimate := one.estimate(case, THROUGHPUT))
            ),
            key=lambda pair: -pair[0].value,
        )
        if not ranked:
            found.append(f"At {workers} workers no tool gave a right answer that could be timed.")
            continue
        (best, first), (worst, last) = ranked[0], ranked[-1]
        word = f"At {workers} worker{'s' if workers > 1 else ''}"
        text = f"{word} the highest throughput was that of **{first.label}**, {interval_text(best, 'samples/s')}"
        if last is not first:
            text += f"; the lowest that of **{last.label}**, {interval_text(worst, 'samples/s')}"
        found.append(text + ".")
        judged = one.comparisons.get(workers, {})
        words: dict[str, list[str]] = {}
        for label, comparison in judged.items():
            # How small a difference is belongs to its word; how many blocks are missing is the table's.
            known = comparison.verdict if comparison.word in ("faster", "slower") else comparison.word
            words.setdefault(known, []).append(label)
        words.pop("no verdict", None)
        if words:
            parts = [f"{verdict}: {', '.join(sorted(labels))}" for verdict, labels in sorted(words.items())]
            found.append(f"Against {question.control} at {workers}: {'; '.join(parts)}.")
    starts = sorted(
        ((estimate, case) for case in one.cases if not case.control and (estimate := one.estimate(case, FIRST_STEP))),
        key=lambda pair: pair[0].value,
    )
    if starts:
        unit = "pass" if question.infers else "step"
        (low, quick), (high, slow) = starts[0], starts[-1]
        found.append(
            f"From the call to the first {unit} done took {low.value:.3g} s with **{quick.name}** (n = {low.n}) and "
            f"{high.value:.3g} s with **{slow.name}** (n = {high.n})."
        )
    return found


def verdict_note(one: Answer) -> str | None:
    n = max((len(case.ok()) for case in one.cases), default=0)
    if n < rules.LEAST_BLOCKS:
        counted = f"{n} block{'s' if n != 1 else ''}"
        return f"{counted}: every trial is drawn; below {rules.LEAST_BLOCKS} there is no interval and no verdict."
    if blocks := one.question.adaptive:
        level, looks = sequential.level(blocks), sequential.looks(blocks["min"], blocks["max"])
        return (
            f"Adaptive: {n} of at most {blocks['max']} blocks. Verdicts are judged at {level:.2g}, as there were up to "
            f"{len(looks)} looks."
        )
    return None


def alarms(one: Answer) -> list[str]:
    """What stands against the figures: the A/A control, noise repeats, wrong answers."""
    found = []
    for workers, (ratio, floor) in one.floors.items():
        if ratio and ratio.low is not None and floor is None:
            found.append(
                f"A/A control missed: {one.question.control} against itself at {workers} workers gave "
                f"{interval_text(ratio)}. No verdict is given at {workers} workers; repeat the run."
            )
    unsteady = [case.name for case in one.cases if case.unsteady]
    if unsteady:
        found.append(
            f"Most windows of {', '.join(unsteady)} slowed down or never became steady, so their figures depend on the "
            "window's length. Beside a control that was steady none of them is called faster; a control among them "
            "means that the machine was unsteady."
        )
    invalid = [case.name for case in one.cases if any(row["outcome"] == "invalid" for row in case.rows)]
    if invalid:
        found.append(
            f"Trials of {', '.join(invalid)} were invalid; see [failures](failures.html). Their speed is not shown."
        )
    lost = collections.Counter(
        (case.name, row["outcome"])
        for case in one.cases
        for row in case.rows
        if case.ok() and row["outcome"] not in ("ok", "invalid")
    )
    found += [
        f"{name}: {count} of its trials ended as {outcome} and are not in its figures; see [failures](failures.html)."
        for (name, outcome), count in sorted(lost.items())
    ]
    exposed = sorted({row["exposed"] for case in one.cases for row in case.rows if row["exposed"]})
    found += [f"Not isolated: trials shared the host's network ({reason})." for reason in exposed]
    total = sum(len(case.rows) for case in one.cases)
    if one.question.rejected > NOISY * total:
        found.append(
            f"A noisy machine: the noise gate rejected {one.question.rejected} attempts at {total} trials. What was "
            "kept passed it, and still varies more than on a quiet one."
        )
    if one.question.run["dirty"]:
        found.append("Measured from a checkout with uncommitted changes.")
    return found


def why(case: Case) -> str:
    """Why a case has no figure, in one line."""
    counts = collections.Counter(row["outcome"] for row in case.rows)
    if not counts:
        return "not run yet"
    error = next((row["error"] for row in case.rows if row["error"]), "") or ""
    return f"{counts.most_common(1)[0][0]}: {error.splitlines()[0][:70] if error else ''}"


def provenance(question: Question) -> str:
    run = question.run
    commit = (run["commit"] or "no commit")[:12]
    return (
        f"Run `{run['run']}`, profile {run['profile']}, seed {run['seed']}, commit `{commit}`, on {hardware(question)}."
    )


def hardware(question: Question) -> str:
    """What a run was measured on, in a few words."""
    machine = json.loads(question.run["machine"])
    gpus = "".join(f", {gpu['name']}" for gpu in machine.get("gpus") or ())
    memory = machine["memory_bytes"] / 2**30
    return f"{machine['cpu']} with {len(machine['cpuset'])} cores and {memory:.0f} GiB{gpus}"


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def rests_on(questions: Sequence[Question]) -> str:
    """What a report was made of: runs, days, commits and machines, and how many trials were not right."""
    questions = list({(question.run["run"], question.name): question for question in questions}.values())
    runs = {question.run["run"]: question.run for question in questions}
    days = sorted({run["started_utc"][:10] for run in runs.values()})
    commits = {(run["commit"] or "no commit") for run in runs.values()}
    machines = sorted({hardware(question) for question in questions})
    trials = [row for question in questions for case in question.cases for row in case.rows]
    wrong = sum(row["outcome"] != "ok" for row in trials)
    when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
    return (
        f"Measured {when}: {counted(len(runs), 'run')} at {counted(len(commits), 'commit')} of assay, on "
        f"{'; and on '.join(machines)}. Of {counted(len(trials), 'trial')} {wrong} were not ok: see "
        "[failures](failures.html)."
    )


def reproduce(question: Question) -> str:
    run = question.run
    case = next((one for one in question.cases if one.ok() and not one.control), None)
    asked = [word for word in json.loads(run["argv"])[1:] if word not in ("--no-report", "--resume")]
    seed = [] if "--seed" in asked else ["--seed", str(run["seed"])]
    lines = [shlex.join(["nox", "-s", "bench", "--", *asked, *seed])]
    if case:
        cell = f"{question.name}/{case.label}/{case.device}/{case.workers}"
        lines.append(f"assay reproduce {cell} --run {run['run']}  # any one case, with the packages of then")
    return "\n".join(lines)


def summary(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """For other programs: an object a scenario and device."""
    found = []
    for one in answers:
        run = one.question.run
        found.append(
            {
                "scenario": one.question.name,
                "device": one.device,
                "run": run["run"],
                "commit": run["commit"],
                "profile": run["profile"],
                "method_version": run["method_version"],
                "cases": [
                    {
                        "tool": case.label,
                        "workers": case.workers,
                        "control": case.control,
                        "outcomes": dict(collections.Counter(row["outcome"] for row in case.rows)),
                        **{
                            metric.key: dataclasses.asdict(estimate)
                            for metric in METRICS
                            if (estimate := one.estimate(case, metric))
                        },
                    }
                    for case in one.cases
                ],
                "comparisons": [
                    {
                        "tool": label,
                        "base": one.question.control,
                        "workers": workers,
                        "ratio": dataclasses.asdict(comparison.ratio),
                        "p": comparison.p,
                        "p_equivalent": comparison.p_equivalent,
                        "word": comparison.word,
                        "more_blocks": comparison.more_blocks,
                    }
                    for workers, comparisons in sorted(one.comparisons.items())
                    for label, comparison in sorted(comparisons.items())
                ],
                "noise_floor": {str(workers): floor for workers, (_, floor) in sorted(one.floors.items())},
            }
        )
    return found
