"""What stored runs prove of a cell: a speed-up, trials whose every answer was right, or what a probe found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from assay.badge import Found, Known, verdict
from assay.claims import Bounds, Rule, Speedup, Trials
from assay.measured import Case, Question
from assay.report.answer import Answer
from assay.report.figures import interval_text
from assay.report.serving.answer import answering, gains, processes
from assay.served import Key, Load, Served, key
from assay.statistics import Estimate, geometric

LEAST_SPEEDUPS = 7  # blocks, for a verdict on a speed-up
NOT_THE_TOOL = {"NOISE", "SAMPLER"}  # what makes a trial invalid and says nothing of its tool
LEAST_PROOFS = 3  # a live proof is asked for three times; fewer, or mixed ones, are unclear


def speedup(published: str, rule: Rule, tool: str, known: Known) -> Found:
    asked = rule.speedup
    assert asked
    answer = known.answers.get(asked.scenario)
    command = f"nox -s bench -- {asked.scenario} --profile full"
    ratio = answer.speedups.get(tool, {}).get(asked.workers) if answer else None
    if answer is None or ratio is None:
        missing = Found("not measured", "No stored run has it yet.", command=command)
        return failed(asked.scenario, tool, asked.workers, {}, known) or missing
    question = answer.question
    rows = [case for case in cases(question, tool, asked.workers, {}) if case.device == answer.device]
    common: dict[str, Any] = {
        "scenario": asked.scenario,
        "run": question.run["run"],
        "trials": tuple(row["trial"] for case in rows for row in case.ok()),
        "command": f"{reproduce(question, rows)}\n{command} --tool {question.baseline} --tool {tool}  # the ratio",
        "added": beside(asked, tool, known),
    }
    tried = judged(rows)
    lost = sum(row["outcome"] != "ok" for row in tried)
    text = (
        f"{question.text['title']}: speed-up at {asked.workers} workers over {question.baseline}: "
        f"{interval_text(ratio)}{f'; {lost} of {len(tried)} trials were not right and are not in it' if lost else ''}"
    )
    return bounded(published, rule, asked, ratio, text, doubt(asked, answer, ratio, rows), common)


def bounded(
    published: str, rule: Rule, bounds: Bounds, ratio: Estimate, text: str, reason: str, common: Mapping[str, Any]
) -> Found:
    """By where the interval of a ratio lies; with a reason, it is not judged."""
    text += f"; confirmed above {bounds.confirmed:g}, contradicted below {bounds.contradicted:g}."
    if ratio.n < LEAST_SPEEDUPS or ratio.low is None or ratio.high is None:
        reason = f"A verdict takes {LEAST_SPEEDUPS} blocks."
    elif not reason and ratio.low <= bounds.confirmed and ratio.high >= bounds.contradicted:
        reason = "The interval lies wholly on neither side, so neither is shown."
    if reason:
        return Found("unclear", f"{text} {reason}", "unclear", **common)
    holds = ratio.low is not None and ratio.low > bounds.confirmed
    word, rest = verdict(published, holds, rule.shows)
    return Found("measured", f"{text}{rest}", word, holds=holds, **common)


def doubt(asked: Speedup, answer: Answer, ratio: Estimate, rows: Sequence[Case]) -> str:
    """Why a speed-up cannot be judged, whatever its interval: the gates of every comparison."""
    control, floor = answer.floors.get(asked.workers, (None, None))
    baseline = answer.question.case(answer.question.baseline or "", answer.device, 1)
    if reason := shared(answer.question, asked.workers):
        return reason
    if control and control.low is not None and floor is None:
        return f"The control differs from itself: {interval_text(control)}."
    if any(case.unsteady for case in rows) and not (baseline and baseline.unsteady):
        return "Most of its windows never became steady."
    return ""


def shared(question: Question, workers: int) -> str:
    """Why the machine is too small for so many workers, if it is."""
    machine = json.loads(question.run["machine"])
    cores = min(machine.get("cores") or len(machine["cpuset"]), len(machine["cpuset"]))
    return f"The machine has {cores} cores: {workers} workers share them." if workers > cores else ""


def beside(asked: Speedup, tool: str, known: Known) -> str:
    """The speed-up on work of another size."""
    answer = known.answers.get(asked.beside)
    ratio = answer.speedups.get(tool, {}).get(asked.workers) if answer else None
    if answer is None or ratio is None:
        return ""
    question = answer.question
    rows = [case for case in cases(question, tool, asked.workers, {}) if case.device == answer.device]
    reason = doubt(asked, answer, ratio, rows)
    return f"{question.text['title']}, work of another size: {interval_text(ratio)}. {reason}".strip()


def gain(scenario: str, tool: str, known: Known) -> str:
    """What a second replica adds at saturation."""
    one = known.served.get(scenario)
    if one is None:
        return ""
    found = []
    for case, ratio in gains(one).items():
        label, _, workers = case
        if label == tool:
            called = answering(one, case)
            found.append(
                f"With {workers} replicas, set at its start, it answers {interval_text(ratio)} times as much as with "
                f"one{f'; its model was called in {processes(called)} at most' if called else ''} "
                f"({scenario}, run {one.question.run['run']})."
            )
    return " ".join(found)


def proved(published: str, rule: Rule, tool: str, known: Known) -> Found:
    """By trials whose every answer was checked; the first proof that is missing decides."""
    assert rule.trials
    found = [proof(asked, tool, known) for asked in rule.trials]
    lacking = next((one for one in found if one.holds is None), None)
    if lacking:
        return lacking
    word, rest = verdict(published, True, rule.shows)
    said = " ".join(one.said for one in found)
    return dataclasses.replace(found[0], said=f"{said}{rest}", verdict=word, others=tuple(found[1:]))


def proof(asked: Trials, tool: str, known: Known) -> Found:
    """One scenario's trials of a tool: it holds, or says why not."""
    question = known.questions.get(asked.scenario)
    # Profile quick leaves out the loads that replicas follow.
    command = f"nox -s bench -- {asked.scenario}{' --profile standard' if asked.follows else ''}"
    found = cases(question, tool, asked.workers, asked.settings) if question else []
    found = [case for case in found if asked.device in (None, case.device)]
    if question is None or not found:
        said = f"{known.tools[tool].title} is not in a stored run of {asked.scenario} in that way."
        return Found("not measured", said, command=command)
    right = [row for case in found for row in case.ok()]
    rows = judged(found)
    common: dict[str, Any] = {
        "scenario": asked.scenario,
        "run": question.run["run"],
        "trials": tuple(row["trial"] for row in right),
        "command": reproduce(question, found),
    }
    if rows and not right:
        return failed(asked.scenario, tool, asked.workers, asked.settings, known) or Found("failed", "None was right.")
    settings = ", ".join(f"{name} {value}" for name, value in asked.settings.items())
    how = f" with {settings}" if settings else ""
    text = f"{question.text['title']}{how}: {len(right)} of {len(rows)} trials right, every answer checked"
    if len(right) < len(rows):
        return Found("unclear", f"Mixed results. {text}.", "unclear", **common)
    if len(right) < LEAST_PROOFS:
        return Found("unclear", f"{text}; {LEAST_PROOFS} are asked for.", "unclear", **common)
    if asked.held is not None:
        most = max((share for row in right for share in shares(row)), default=1.0)
        text += f"; a rank held {most:.0%} of the parameters at most"
        if most > asked.held:
            return Found("unclear", f"{text}, and {asked.held:.0%} are allowed.", "unclear", **common)
    if asked.follows:
        counts = called(found, known.served.get(asked.scenario))
        if len(counts) < len(right):
            return Found(
                "unclear", f"{text}; some load was not valid, or its processes were not counted.", "unclear", **common
            )
        shown = sorted({", ".join(map(str, one)) for one in counts})
        text += f"; processes in which the model was called, load by load: {' and '.join(shown)}"
        if not all(one[0] == one[-1] == 1 < max(one) for one in counts):
            return Found("unclear", f"{text}, and asked for are one, more, and one again.", "unclear", **common)
    if asked.device == "cuda":
        text += f", on {', '.join(sorted({name for row in right for name in devices(row)}))}"
        if not all(on_gpu(row) for row in right):
            said = f"{text}, and not every rank's GPU memory held its model."
            return Found("unclear", said, "unclear", **common)
        text += ", whose memory held the model"
    return Found("live", f"{text}.", holds=True, **common)


def called(found: Iterable[Case], served: Served | None) -> list[list[int]]:
    """Of each trial whose loads are all valid, load by load, in how many processes the model was called."""
    loads: dict[tuple[Key, int], list[Load]] = {}
    for case in found:
        for load in served.loads.get(key(case), []) if served else []:
            if load.kind == "search":  # as many as it takes
                continue
            loads.setdefault((key(case), load.block), []).append(load)
    counts = [[load.answering for load in those if load.valid and load.answering] for those in loads.values()]
    return [one for one, those in zip(counts, loads.values(), strict=True) if len(one) == len(those)]


def devices(row: Mapping[str, Any]) -> list[str]:
    return [rank["device_name"] for rank in json.loads(row["facts"] or "[]")]


def on_gpu(row: Mapping[str, Any]) -> bool:
    """Whether every rank reports a GPU, and the trial took at least the bytes of one rank's model there."""
    ranks = json.loads(row["facts"] or "[]")
    model = max((rank.get("model_bytes", 0) for rank in ranks), default=0)
    return all(rank["device"].startswith("cuda") for rank in ranks) and (row["device_bytes"] or 0) >= model > 0


def shares(row: Mapping[str, Any]) -> list[float]:
    """Of the model's parameters, what each rank held."""
    return [
        rank["parameter_bytes"] / rank["model_bytes"]
        for rank in json.loads(row["facts"] or "[]")
        if "model_bytes" in rank
    ]


def judged(found: Iterable[Case]) -> list[dict[str, Any]]:
    """Rows that say something of the tool: not those that only say how busy the machine was."""
    rows = [row for case in found for row in case.rows]
    return [row for row in rows if not row["codes"] or not set(row["codes"].split()) <= NOT_THE_TOOL]


def probed(published: str, rule: Rule, tool: str, known: Known) -> Found:
    """By what a probe found in each of its trials."""
    asked = rule.probe
    assert asked
    question = known.questions.get(asked.scenario)
    command = f"nox -s bench -- {asked.scenario}{' --profile standard' if asked.bounds else ''}"
    found = cases(question, tool, None, {}) if question else []
    if question is None:
        return Found("not measured", "No run has it yet.", command=command)
    if not found:
        said = f"The stored run of {asked.scenario} does not have it; it has to be among the scenario's `matrix.tools`."
        return Found("not measured", said, command=command)
    common: dict[str, Any] = {
        "scenario": asked.scenario,
        "run": question.run["run"],
        "command": reproduce(question, found),
    }
    rows, right = judged(found), [row for case in found for row in case.ok()]
    if rows and not right:
        return failed(asked.scenario, tool, None, {}, known) or Found("failed", "None was right.")
    by_trial = [(row["trial"], {one["name"]: one for one in json.loads(row["findings"] or "[]")}) for row in right]
    told = [(trial, [found[name] for name in asked.findings if name in found]) for trial, found in by_trial]
    told = [(trial, found) for trial, found in told if found]
    if not told:
        said = "No right trial found this out: the tool's file gives no way to ask it, or that run's machine had none."
        return Found("not measured", said, command=command)
    common["trials"] = tuple(trial for trial, _ in told)
    states = {one["state"] for _, found in told for one in found}
    said = sentence("; ".join(one["said"] for one in told[-1][1]))
    whole = all(len(found) == len(asked.findings) for _, found in told)
    if len(states) > 1 or len(told) < len(rows) or not whole:
        return Found("unclear", f"Mixed results in {len(rows)} trials; the last: {said}", "unclear", **common)
    if len(told) < LEAST_PROOFS:
        return Found("unclear", f"{said} (n = {len(told)}; {LEAST_PROOFS} are asked for)", "unclear", **common)
    text, badge = f"{said} ({len(told)} of {len(rows)} times).", "fact" if rule.kind == "fact" else "live"
    state = states.pop()
    if state == "declined":  # what the tool's file says and nobody tried decides nothing
        return Found("judgement", f"Said of its documentation, not tried: {said}.", **common)
    if state == "failed":
        return Found("failed", text, **common)
    if asked.bounds and state == "passed":
        ratio = geometric([one["value"] for _, found in told for one in found if one.get("value") is not None])
        if ratio is None:
            return Found("unclear", f"{text} No ratio was measured.", "unclear", **common)
        text = f"{said}; of all trials {interval_text(ratio)}"
        return bounded(published, rule, asked.bounds, ratio, text, shared(question, asked.cores), common)
    # `none`: the tool itself has no such thing, which is a finding and no error.
    holds = state == "passed"
    word, rest = verdict(published, holds, rule.shows)
    return Found(badge, f"{'' if holds else 'It has none: '}{text}{rest}", word, holds=holds, **common)


def sentence(said: str) -> str:
    """With a capital letter, unless it begins with a name such as that of a counter."""
    return said[0].upper() + said[1:] if said.split(" ")[0].isalpha() else said


def failed(scenario: str, tool: str, workers: int | None, settings: Mapping[str, Any], known: Known) -> Found | None:
    """Why none of the trials asked for was right."""
    question = known.questions.get(scenario)
    found = cases(question, tool, workers, settings) if question else []
    wrong = [row for row in judged(found) if row["outcome"] != "ok"]
    if not wrong or question is None:
        return None
    row = wrong[-1]
    # What a machine lacks shows before the tool is called; a tool that declines does so itself.
    lacks = row["phase"] == "environment"
    badge = {"unsupported": "skipped" if lacks else "failed", "environment": "blocked"}.get(row["outcome"], "failed")
    first = (row["error"] or "see its log").splitlines()[0]
    return Found(
        badge,
        f"{row['outcome']} in {len(wrong)} of {sum(len(case.rows) for case in found)} trials: {first}",
        scenario=scenario,
        run=question.run["run"],
        trials=tuple(one["trial"] for one in wrong),
        command=reproduce(question, found),
    )


def cases(question: Question | None, tool: str, workers: int | None, settings: Mapping[str, Any]) -> list[Case]:
    """A tool's cases with such settings; without any, those without."""
    found = []
    for case in question.cases if question else []:
        own = json.loads(case.rows[0]["settings"] or "{}") if case.rows else {}
        if case.tool == tool and not case.control and own == dict(settings) and workers in (None, case.workers):
            found.append(case)
    return found


def reproduce(question: Question, found: Sequence[Case]) -> str:
    case = found[0]
    return f"assay reproduce {question.name}/{case.label}/{case.device}/{case.workers} --run {question.run['run']}"
