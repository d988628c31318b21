"""The report as a folder: pages, figures, Markdown and a summary. The same parquet gives the same bytes."""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay import backing, claims, measured, served, store, tool
from assay.backing import Backed
from assay.errors import UsageError
from assay.journal import Journal, write_whole
from assay.report import claims as claimed
from assay.report import tools as tool_pages
from assay.report.answer import Answer, answer, summary
from assay.report.document import Page, render_html
from assay.report.drawing import draw
from assay.report.figures import Palette, save
from assay.report.pages import (
    data_parts,
    failure_parts,
    index_parts,
    machine_parts,
    markdown,
    method_parts,
    scenario_parts,
)
from assay.report.serving import answer as served_answer
from assay.report.serving import drawing as served_drawing
from assay.report.serving import pages as served_pages
from assay.selection import Layout
from assay.tool import Tool


def free(output: Path, sign: str) -> Path:
    """The absolute path of a folder that may be written: a new or empty one, or one that holds the file `sign`.

    Raises UsageError for any other.
    """
    output = output.resolve()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise UsageError(f"--output {output}: {fault.strerror}") from fault
    if any(output.iterdir()) and not (output / sign).exists():
        raise UsageError(f"{output} holds something else than a report; give --output an empty or a new folder")
    return output


def write(runs: Sequence[str], output: Path, layout: Layout) -> list[str]:
    """Render the runs, by default each scenario's newest, into `output`; returns what in results was skipped.

    A run that is not sealed yet is read from its journal. Raises UsageError where there is nothing to show.
    """
    output = free(output, "summary.json")
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
        offered = [served.served(connection, question) for question in questions if question.serves]
        traces = {
            question.name: measured.quality_traces(connection, question)
            for question in questions
            if not question.serves
        }
        environments = measured.environments(connection, chosen)
    palette = Palette([case.tool for question in questions for case in question.cases])
    answers = [answer(question, device) for question in questions if not question.serves for device in question.devices]
    drawn = {id(one): draw(one, traces[one.question.name], palette) for one in answers}
    drawn |= {id(one): served_drawing.draw(one, palette) for one in offered}
    going_on = journal is not None
    tables, tools = published(questions, answers, environments, layout)
    today = datetime.date.fromisoformat(max(question.run["started_utc"] for question in questions)[:10])
    index = claimed.front_parts(tables) + index_parts(answers, drawn, going_on)
    index += [part for one in offered for part in served_pages.index_parts(one, drawn[id(one)])]
    pages = [
        Page("index.html", "Answers", index),
        *(Page(claimed.path(one.table), one.table.title, claimed.table_parts(one, today)) for one in tables),
        *(
            Page(
                f"scenarios/{question.name}.html",
                question.text["title"],
                scenario_parts(question, answers, drawn),
                listed=False,
            )
            for question in questions
            if not question.serves
        ),
        *(
            Page(
                f"scenarios/{one.question.name}.html",
                one.question.text["title"],
                served_pages.scenario_parts(one, drawn[id(one)]),
                listed=False,
            )
            for one in offered
        ),
        *(
            Page(
                f"tools/{name}.html",
                tools[name].title,
                tool_pages.tool_parts(tools[name], questions, environments, tables),
                listed=False,
            )
            for name in tool_pages.pages_of(questions, tools)
        ),
        Page("failures.html", "Failures", failure_parts(questions)),
        Page("machine.html", "Machine", machine_parts(questions, environments)),
        Page("method.html", "Method", method_parts(questions)),
        Page("data.html", "Data", data_parts(chosen, archive.faults)),
    ]
    # Rendered beside the old report and put in its place whole, so that a reader never sees a mixture.
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for page in pages:
        path = partial / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_html(page, pages), encoding="utf-8")
    save([figure for figures in drawn.values() for figure in figures.values()], partial / "figures")
    sections = [part for one in offered for part in served_pages.markdown_parts(one, drawn[id(one)])]
    write_whole(partial / "REPORT.md", markdown(answers, drawn, sections, questions, going_on).encode())
    everything = summary(answers) + [served_answer.summary(one) for one in offered]
    write_whole(partial / "summary.json", json.dumps(everything, indent=1, sort_keys=True).encode())
    write_whole(partial / "claims.json", json.dumps(claimed.summary(tables), indent=1, sort_keys=True).encode())
    shutil.rmtree(output, ignore_errors=True)
    partial.rename(output)
    return archive.faults


def published(
    questions: Sequence[measured.Question],
    answers: Sequence[Answer],
    environments: Sequence[Mapping[str, Any]],
    layout: Layout,
) -> tuple[list[Backed], dict[str, Tool]]:
    """The published tables, judged by what is shown, and the tools that have a file."""
    tools = tool.find([layout.root / "benchmarks/tools"], layout.root)
    known = backing.Known(
        questions={one.name: one for one in questions},
        # CPU comes last, and stays: a table makes no difference between devices.
        answers={one.question.name: one for one in sorted(answers, key=lambda one: one.device, reverse=True)},
        installed=backing.installed(environments),
        tools=tools,
    )
    return [backing.back(table, known) for table in claims.load_all(layout.root / "scenarios")], tools
