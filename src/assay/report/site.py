"""The report as a folder: pages, figures, Markdown and a summary. The same parquet gives the same bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from assay.errors import UsageError
from assay.journal import write_whole
from assay.report import claims as claimed
from assay.report import decisions, probed
from assay.report import tools as tool_pages
from assay.report.answer import rests_on, summary
from assay.report.document import Details, Page, Paragraph, Part, render_html
from assay.report.drawing import draw
from assay.report.figures import Palette, save
from assay.report.gathered import gather
from assay.report.pages import (
    data_parts,
    failure_parts,
    index_parts,
    machine_parts,
    markdown,
    method_parts,
    scenario_parts,
)
from assay.report.ranking import ranking_parts
from assay.report.serving import answer as served_answer
from assay.report.serving import drawing as served_drawing
from assay.report.serving import pages as served_pages
from assay.selection import Layout


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

    Raises UsageError where there is nothing to show.
    """
    output = free(output, "summary.json")
    found = gather(runs, layout)
    questions, answers, tables = found.questions, found.answers, found.tables
    palette = Palette([case.tool for question in questions for case in question.cases])
    drawn = {id(one): draw(one, found.traces[one.question.name], palette) for one in answers}
    drawn |= {id(one): served_drawing.draw(one, palette) for one in found.offered}
    tool_names = set(tool_pages.pages_of(questions, found.tools))
    records = decisions.pages(layout.root / "decisions")
    shown = {question.name for question in questions}
    front = claimed.front_parts(tables, records, bool(found.rankings), found.releases)
    head: list[Part] = [Paragraph(rests_on([*questions, *found.grounds]))]
    index = head + front + index_parts(answers, drawn, found.going_on)
    index += [part for one in found.offered for part in served_pages.index_parts(one, drawn[id(one)])]
    index += [part for one in questions if one.probes for part in probed.index_parts(one)]
    pages = [
        Page("index.html", "Answers", index),
        *(
            Page(claimed.path(one.table), one.table.title, claimed.table_parts(one, found.today, tool_names, shown))
            for one in tables
        ),
        *(
            Page(
                f"scenarios/{question.name}.html",
                question.text["title"],
                scenario_parts(question, answers, drawn, found.prices),
                listed=False,
            )
            for question in questions
            if not question.serves and not question.probes
        ),
        *(
            Page(
                f"scenarios/{question.name}.html", question.text["title"], probed.scenario_parts(question), listed=False
            )
            for question in questions
            if question.probes
        ),
        *(
            Page(
                f"scenarios/{one.question.name}.html",
                one.question.text["title"],
                served_pages.scenario_parts(one, drawn[id(one)]),
                listed=False,
            )
            for one in found.offered
        ),
        *(
            Page(
                f"tools/{name}.html",
                found.tools[name].title,
                tool_pages.tool_parts(found.tools[name], questions, found.environments, tables, found.releases),
                listed=False,
            )
            for name in sorted(tool_names)
        ),
        *([Page("ranking.html", "Ranking", ranking_parts(found.rankings))] if found.rankings else []),
        *records,
        Page("failures.html", "Failures", failure_parts(questions)),
        Page("machine.html", "Machine", machine_parts(questions, found.environments, found.ruler)),
        Page("method.html", "Method", method_parts(questions)),
        Page("data.html", "Data", data_parts(found.faults, found.digests)),
    ]
    # Rendered beside the old report and put in its place whole, so that a reader never sees a mixture.
    partial = output.with_name(output.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for page in pages:
        path = partial / page.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_html(page, pages), encoding="utf-8")
    save([figure for figures in drawn.values() for figure in figures.values()], partial / "figures")
    sections = [part for one in questions if one.probes for part in probed.index_parts(one)]
    sections += [part for one in found.offered for part in served_pages.markdown_parts(one, drawn[id(one)])]
    write_whole(
        partial / "REPORT.md",
        markdown(
            [part for part in head + front if not isinstance(part, Details)],
            answers,
            drawn,
            sections,
            questions,
            found.going_on,
        ).encode(),
    )
    everything = summary(answers) + [served_answer.summary(one) for one in found.offered]
    write_whole(partial / "summary.json", json.dumps(everything, indent=1, sort_keys=True).encode())
    write_whole(partial / "claims.json", json.dumps(claimed.summary(tables), indent=1, sort_keys=True).encode())
    shutil.rmtree(output, ignore_errors=True)
    partial.rename(output)
    return found.faults
