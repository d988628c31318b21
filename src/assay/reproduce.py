"""One case of a stored run, measured again: the recorded packages, the recorded scenario, as many blocks."""

from __future__ import annotations

import collections
import dataclasses
import json
import shutil
from typing import Any

from assay import environment, machine, measured, proof, run, served, store
from assay import statistics as rules
from assay.environment import Package
from assay.errors import UsageError
from assay.measured import THROUGHPUT, Case, Metric, Question
from assay.progress import Progress
from assay.selection import Layout, Options
from assay.statistics import Pair

TAIL = 0.99
OUTCOMES = "trials, every answer checked"
PROCESSES = "processes that called the model, load by load"


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """A case as a stored run measured it."""

    question: Question
    case: Case
    figures: dict[Metric, dict[int, float]]  # metric to block to value
    counts: dict[str, collections.Counter[str]]  # of what was found, how often each outcome
    packages: dict[str, list[Package]]  # by tool
    pythons: dict[str, str]  # version by tool
    address: str | None


def again(cell: str, run_name: str | None, place: Layout, argv: list[str]) -> int:
    """Measure `SCENARIO/TOOL/DEVICE/WORKERS` again and say whether intervals, outcomes and findings agree.

    Returns 0 where they do or where there are too few blocks to say, else 1. What is measured stays under
    `.assay/reproduce`, apart from the results that reports are made of. Raises UsageError for an unknown cell.
    """
    recorded = find(cell, run_name, place)
    question, case = recorded.question, recorded.case
    own = dataclasses.replace(place, state=place.state / "reproduce")
    scenarios = own.state / "scenarios"
    shutil.rmtree(scenarios, ignore_errors=True)
    scenarios.mkdir(parents=True)
    (scenarios / f"{question.name}.toml").write_text(question.run["scenario_text"])
    if place.calibration.exists():
        shutil.copy(place.calibration, own.calibration)
    options = Options(
        scenarios=(question.name,),
        tools=(case.label,),
        devices=(case.device,),
        workers=(case.workers,),
        profile=question.run["profile"],
        blocks=max(row["block"] for row in case.rows) + 1,
        cluster=((case.tool, recorded.address),) if recorded.address else (),
        scenario_folder=str(scenarios),
        case=cell,
    )
    journal, prepared = run.start(options, own, argv)
    progress = Progress(prepared.trials)
    progress.say(f"{cell} of run {question.run['run']}, {len(prepared.trials)} trials, in {own.runs / journal.run}")
    going = run.Run(journal, prepared, options, own, progress)
    going.environments_of = lambda tools: environment.build_all(
        [environment.pinned(one, recorded.packages[one.name], recorded.pythons[one.name], own.state) for one in tools],
        place.environments / "reproduce",
        progress.environment,
    )
    going.execute(refresh=False, seal=False)
    with store.query(None, journal) as connection:
        (now,) = measured.questions(connection, [journal.run])
        found = next(one for one in now.cases if one.label == case.label)
        figures, counts = figures_of(connection, now, found), counts_of(connection, now, found)
    for line in changed(question, now):
        print(line)
    agrees = [verdict(metric, values, figures.get(metric, {})) for metric, values in recorded.figures.items()]
    agrees += [same(name, before, counts.get(name)) for name, before in recorded.counts.items()]
    return int(not all(agrees) or not found.ok())


def find(cell: str, run_name: str | None, place: Layout) -> Recorded:
    """The newest run that has the cell, or the named one. Raises UsageError."""
    archive = store.survey(place.results)
    with store.query(archive) as connection:
        rows = connection.execute(
            "SELECT DISTINCT run, concat_ws('/', scenario, label, device, workers) AS cell FROM trials "
            "WHERE kind = 'trial' AND outcome = 'ok' AND NOT control ORDER BY run"
        ).fetchall()
        runs = [one for one, name in rows if name == cell and one.startswith(run_name or "")]
        if not runs:
            cells = sorted({name for one, name in rows if one.startswith(run_name or "")})
            where = f"run {run_name}" if run_name else "results"
            raise UsageError(f"no cell {cell!r} that is ok in {where}; there are {', '.join(cells) or 'none'}")
        scenario = cell.split("/")[0]
        question = next(one for one in measured.questions(connection, [runs[-1]]) if one.name == scenario)
        case = next(one for one in question.cases if f"{scenario}/{one.label}/{one.device}/{one.workers}" == cell)
        built = measured.environments(connection, [runs[-1]])
        return Recorded(
            question=question,
            case=case,
            figures=figures_of(connection, question, case),
            counts=counts_of(connection, question, case),
            packages={row["tool"]: [Package(*package) for package in row["packages"] or []] for row in built},
            pythons={row["tool"]: row["python"] or "" for row in built},
            address=case.rows[0]["address"],
        )


def figures_of(connection: Any, question: Question, case: Case) -> dict[Metric, dict[int, float]]:
    """What the case is judged by: throughput, the response's p99 at each rate, or the values of what was found."""
    if question.probes:
        found: dict[Metric, dict[int, float]] = {}
        for row in case.ok():
            for one in json.loads(row["findings"] or "[]"):
                if one.get("value") is not None:
                    ratio = Metric(f"value {one['name']}", f"{one['name']}: the ratio measured", "")
                    found.setdefault(ratio, {})[row["block"]] = one["value"]
        return found
    if not question.serves:
        return {THROUGHPUT: case.values(THROUGHPUT)}
    one = served.served(connection, question)
    return {
        Metric(f"p99 {rate}", f"Response p99 at {rate:g}/s", "ms"): one.blocks(case, rate, TAIL) for rate in one.rates
    }


def counts_of(connection: Any, question: Question, case: Case) -> dict[str, collections.Counter[str]]:
    """How trials ended, and by name what was found; of a server also in how many processes its model was called, where
    that was ever several.
    """
    counts = {OUTCOMES: collections.Counter(row["outcome"] for row in proof.judged([case]))}
    for row in case.ok():
        for one in json.loads(row["findings"] or "[]"):
            counts.setdefault(one["name"], collections.Counter())[one["state"]] += 1
    called = proof.called([case], served.served(connection, question)) if question.serves else []
    if any(count > 1 for one in called for count in one):
        counts[PROCESSES] = collections.Counter(", ".join(map(str, one)) for one in called)
    return counts


def same(name: str, before: collections.Counter[str], now: collections.Counter[str] | None) -> bool:
    """Print how often what was found then and now, and whether it is the same."""

    def told(counts: collections.Counter[str]) -> str:
        return "; ".join(f"{what} {count} of {counts.total()}" for what, count in counts.items()) or "not found"

    now = now or collections.Counter()
    if name == OUTCOMES:
        agree = bool(now) and now.keys() <= before.keys()  # no failure that was not there before
    elif name == PROCESSES:
        agree = not before.keys().isdisjoint(now.keys())  # in which of them the model is called may be chance
    else:
        agree = before.keys() == now.keys()
    print(f"{name}\n  recorded {told(before)}\n  now      {told(now)}: {'they agree' if agree else 'they differ'}")
    return agree


def changed(before: Question, now: Question) -> list[str]:
    """What is not as it was."""
    then, today = json.loads(before.run["machine"]), machine.facts()
    found = [
        f"machine: {fact} was {then.get(fact)}, is {today[fact]}" for fact in today if then.get(fact) != today[fact]
    ]
    if before.run["commit"] != now.run["commit"]:
        found.append(f"assay: commit was {before.run['commit']}, is {now.run['commit']}")
    return found


def verdict(metric: Metric, before: dict[int, float], now: dict[int, float]) -> bool:
    """Print both figures and whether they agree; True also where that cannot be said."""
    from assay.report.figures import interval_text

    first, second = rules.geometric(list(before.values())), rules.geometric(list(now.values()))
    if not first:
        return True
    print(f"{metric.title}\n  recorded {interval_text(first, metric.unit)}")
    if not second:
        print("  now      no right answer")
        return False
    print(f"  now      {interval_text(second, metric.unit)}")
    ratio = Pair(now, before, 0.0, paired=False).ratio
    assert ratio
    if ratio.low is None or ratio.high is None:
        print(f"  ratio    {interval_text(ratio)}: too few blocks to say whether they agree")
        return True
    within = ratio.low >= 1 / (1 + rules.MARGIN) and ratio.high <= 1 + rules.MARGIN
    agree = within or ratio.low <= 1 <= ratio.high
    print(f"  ratio    {interval_text(ratio)}: {'they agree' if agree else 'they differ'}")
    return agree
