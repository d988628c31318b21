"""The page that sets two runs, or two tools of one run, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assay import measured, served, store
from assay import statistics as rules
from assay.compare import Difference, Row, Side, differences, side
from assay.compare import served as served_rows
from assay.compare import trained as trained_rows
from assay.errors import UsageError
from assay.measured import Question
from assay.report.charts import forest
from assay.report.document import Heading, Page, Paragraph, Part, Picture, Table, render_html, render_markdown
from assay.report.figures import Figure, Palette, interval_text, save
from assay.report.site import free
from assay.selection import Layout


def write(first: str, second: str, output: Path, layout: Layout, force: bool) -> str:
    """Compare two sides (`RUN` or `RUN:TOOL`) and write the page into `output`; returns it as Markdown.

    Raises UsageError where a side is unknown, where the two have nothing in common, or where what they measured is
    not the same (another machine, another work) and `force` is false.
    """
    archive = store.survey(layout.results)
    sides = side(first, archive.runs), side(second, archive.runs)
    with store.query(archive) as connection:
        both = [{one.name: one for one in measured.questions(connection, [which.run])} for which in sides]
        packages = [
            {
                row["tool"]: {f"{name} {version}" for name, version, _ in row["packages"] or []}
                for row in measured.environments(connection, [which.run])
            }
            for which in sides
        ]
        found: list[tuple[Question, Question, list[Difference], list[Row]]] = []
        for name in sorted(both[0].keys() & both[1].keys()):
            one, other = both[0][name], both[1][name]
            rows = (
                served_rows(served.served(connection, one), served.served(connection, other), sides)
                if one.serves
                else trained_rows(one, other, sides)
            )
            if rows:
                found.append((one, other, differences(one, other, (packages[0], packages[1])), rows))
    if not found:
        raise UsageError(
            f"{sides[0]} and {sides[1]} have no case in common that is ok in both; within one run name two tools: "
            "assay compare RUN:TOOL RUN:TOOL"
        )
    hard = [one for _, _, apart, _ in found for one in apart if one.hard]
    if hard and not force:
        lines = [f"{one.what}: {one.first} / {one.second}" for one in dict.fromkeys(hard)]
        raise UsageError(
            "these two did not measure the same, so their figures must not be compared:\n  "
            + "\n  ".join(lines)
            + "\n--force shows them side by side all the same"
        )
    parts: list[Part] = [Paragraph(f"The second, `{sides[1]}`, relative to the first, `{sides[0]}`.", "lead")]
    figures: list[Figure] = []
    palette = Palette([row.tool for *_, rows in found for row in rows])
    for one, other, apart, rows in found:
        parts += scenario_parts(one, other, sides, apart, rows, palette, figures)
    page = Page("index.html", f"{sides[0]} and {sides[1]}", parts)
    output = free(output, "REPORT.md")
    (output / page.path).write_text(render_html(page, [page]), encoding="utf-8")
    save(figures, output / "figures")
    text = render_markdown(parts, "figures")
    (output / "REPORT.md").write_text(text, encoding="utf-8")
    return text


def scenario_parts(
    one: Question,
    other: Question,
    sides: tuple[Side, Side],
    apart: Sequence[Difference],
    rows: Sequence[Row],
    palette: Palette,
    figures: list[Figure],
) -> list[Part]:
    parts: list[Part] = [Heading(one.text["title"])]
    if apart:
        parts.append(
            Table(
                ["Differs", str(sides[0]), str(sides[1])],
                [[f"{row.what}{' (hard)' if row.hard else ''}", row.first, row.second] for row in apart],
            )
        )
    if any(row.hard for row in apart):
        parts.append(Paragraph("What was measured is not the same: nothing below is a verdict on a tool.", "warning"))
    if one.run["run"] != other.run["run"]:
        parts.append(
            Paragraph(
                "Two runs share no block: trials are compared unpaired (Welch's t on logs), and whatever changed on "
                "the machine between them is in the differences. For a verdict on a change, measure both in one run."
            )
        )
    metric = rows[0].metric
    if any(row.comparison.ratio.low is not None for row in rows):
        ordered = sorted(rows, key=lambda row: -row.comparison.ratio.value)
        figure = forest(
            f"{one.name}-compared",
            f"{metric.title}: {one.text['title']}",
            metric.title.lower(),
            [(row.case, row.tool, row.comparison) for row in ordered],
            rules.MARGIN,
            max((row.floor for row in rows if row.floor is not None), default=None),
            str(sides[0]),
            palette,
        )
        figures.append(figure)
        parts.append(Picture(figure, f"**{figure.title}.** Ratios with 95 % intervals; grey is the equivalence zone."))
    parts.append(
        Table(
            ["Case", f"First ({metric.unit})", f"Second ({metric.unit})", "Ratio", "p", "Verdict"],
            [
                [
                    row.case,
                    interval_text(row.first),
                    interval_text(row.second),
                    interval_text(row.comparison.ratio),
                    "-" if row.comparison.p is None else f"{row.comparison.p:.2g}",
                    row.comparison.verdict,
                ]
                for row in rows
            ],
            "Geometric means; p values are adjusted over the table (Holm).",
        )
    )
    return parts
