"""Everything that a report is made of, read once: questions with their answers, environments, the published tables."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay import backing, claims, cost, facts, measured, ranking, releases, served, store, tool
from assay.backing import Backed
from assay.badge import Known
from assay.cost import Prices
from assay.errors import UsageError
from assay.journal import Journal
from assay.measured import Question
from assay.ranking import Ranking
from assay.report.answer import Answer, answer
from assay.report.ranking import values_of
from assay.selection import Layout
from assay.served import Served
from assay.tool import Tool


@dataclasses.dataclass(frozen=True, slots=True)
class Gathered:
    runs: list[str]
    questions: list[Question]
    grounds: list[Question]  # what the tables rest on: of each scenario its strongest run, shown or not
    answers: list[Answer]  # of those that train or infer, one a device
    offered: list[Served]
    traces: dict[str, dict[tuple[str, str], list[tuple[float, float]]]]  # quality over time, by scenario
    environments: list[dict[str, Any]]
    tools: dict[str, Tool]
    today: datetime.date  # of the newest run
    tables: list[Backed]  # by the strongest run of each scenario
    rankings: dict[str, Ranking]  # by the table's title
    releases: Mapping[str, datetime.date]  # day by name==version
    going_on: bool  # read from a journal: the run has not ended
    faults: list[str]  # what in results was skipped
    digests: dict[str, str]  # SHA-256 of the runs' files, by path below results
    prices: Prices | None
    ruler: dict[str, Any] | None  # what `nox -s overhead` measured last


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def newest_day(questions: Sequence[Question]) -> datetime.date:
    """Of the newest run: the report's own date, so that the same files give the same bytes."""
    return datetime.date.fromisoformat(max(question.run["started_utc"] for question in questions)[:10])


def gather(runs: Sequence[str], layout: Layout) -> Gathered:
    """Of the runs, by default each scenario's newest. One that is not sealed yet is read from its journal.

    Raises UsageError where there is nothing to show.
    """
    archive = store.survey(layout.results)
    unsealed = [run for run in runs if run not in archive.runs]
    if len(unsealed) > 1:
        raise UsageError(f"no run {', '.join(unsealed)} in {layout.results}; see assay list runs")
    journal = Journal.find(layout.runs, unsealed[0]) if unsealed else None
    with store.query(archive, journal) as connection:
        chosen = list(runs) or measured.newest(connection)
        questions = measured.questions(connection, chosen)
        if not questions:
            raise UsageError(f"{layout.results}: no runs to report; measure first: assay run --profile smoke")
        traces = {
            question.name: measured.quality_traces(connection, question)
            for question in questions
            if not question.serves and not question.probes
        }
        # What the tables say rests on the strongest run of each scenario, whichever runs are shown.
        strongest = measured.strongest(connection)
        shown = {(one.name, one.run["run"]): one for one in questions}
        others = {run for name, run in strongest.items() if (name, run) not in shown}
        read = {(one.name, run): one for run in sorted(others) for one in measured.questions(connection, [run])}
        grounds = [(shown | read)[name, run] for name, run in sorted(strongest.items())]
        servers = {
            (one.run["run"], one.name): served.served(connection, one) for one in [*questions, *grounds] if one.serves
        }
        environments = measured.environments(connection, sorted({*chosen, *strongest.values()}))
    answers, proofs = (
        [answer(one, device) for one in asked if not one.serves and not one.probes for device in one.devices]
        for asked in (questions, grounds)
    )
    tools = tool.find([layout.root / "benchmarks/tools"], layout.root)
    by_name = {name: one for (run, name), one in servers.items() if strongest[name] == run}
    released = releases.load(layout.root / "scenarios")
    known = Known(
        questions={one.name: one for one in grounds},
        # CPU comes last, and stays: a table makes no difference between devices.
        answers={one.question.name: one for one in sorted(proofs, key=lambda one: one.device, reverse=True)},
        served=by_name,
        installed=facts.installed(environments),
        tools=tools,
        releases=released,
        today=newest_day([*questions, *grounds]),
    )
    scenarios = layout.root / "scenarios"
    tables = [backing.back(table, known) for table in claims.load_all(scenarios, tools)]
    rankings = {
        one.table.title: ranking.judge(moscow, one, lambda figure: values_of(figure, known.questions, by_name))
        for one in tables
        if (moscow := ranking.load(scenarios / one.table.component / "moscow.toml", one.table))
    }
    return Gathered(
        runs=chosen,
        questions=questions,
        grounds=grounds,
        answers=answers,
        offered=[servers[one.run["run"], one.name] for one in questions if one.serves],
        traces=traces,
        environments=[row for row in environments if row["run"] in chosen],
        tools=tools,
        today=known.today,
        tables=tables,
        rankings=rankings,
        releases=released,
        going_on=journal is not None,
        faults=archive.faults,
        digests={
            str(path.relative_to(layout.results)): digest(path)
            for path in sorted(layout.results.glob("*/*.parquet"))
            if path.stem in {*chosen, *strongest.values()}
        },
        prices=cost.load(layout.root / "prices.toml"),
        ruler=json.loads(ruler.read_text()) if (ruler := layout.results / "overhead.json").exists() else None,
    )
