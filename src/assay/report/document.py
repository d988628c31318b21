"""A page as data, and its two renderings. Tables and text are escaped here and nowhere else."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2

from assay.report.figures import Figure

TEMPLATES = Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 2

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.text.lower()).strip("-")


@dataclasses.dataclass(frozen=True, slots=True)
class Paragraph:
    """Text with `code`, **strong** and [links](target)."""

    text: str
    kind: str = ""  # "", "lead", "warning"


@dataclasses.dataclass(frozen=True, slots=True)
class Items:
    entries: Sequence[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Code:
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Cells are text; a column whose cells begin with digits is set flush right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    figure: Figure
    caption: str


@dataclasses.dataclass(frozen=True, slots=True)
class Details:
    summary: str
    parts: Sequence[Part]


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a matrix: text, a badge as symbol and word, and what opens below them."""

    anchor: str
    text: str
    symbol: str
    word: str
    parts: Sequence[Part]


@dataclasses.dataclass(frozen=True, slots=True)
class Matrix:
    """Columns as (title, note); rows as (title, a cell a column)."""

    corner: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    caption: str = ""


Part = Heading | Paragraph | Items | Code | Table | Picture | Details | Matrix


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    path: str  # relative to the report's folder
    title: str
    parts: Sequence[Part]
    listed: bool = True  # in the navigation of every page


def inline(text: str) -> str:
    """The inline marks of `Paragraph` as HTML; all else is escaped, and a link leads to a place of the report."""
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    escaped = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)
    return re.sub(r"\[([^\]]+)\]\(([\w./#-]+)\)", r'<a href="\2">\1</a>', escaped)


def numeric(table: Table, column: int) -> bool:
    cells = [row[column] for row in table.rows if row[column] not in ("", "-")]
    return bool(cells) and all(re.match(r"[-+]?[\d.]", cell) for cell in cells)


def render_html(page: Page, pages: Sequence[Page]) -> str:
    """The whole page; needs no other file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    depth = page.path.count("/")
    seen: dict[str, int] = {}

    def unique(anchor: str) -> str:
        """An anchor that a page has once: a heading that comes again gets a number."""
        seen[anchor] = seen.get(anchor, 0) + 1
        return anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor]}"

    return environment.get_template("page.html").render(
        page=page,
        pages=pages,
        up="../" * depth,
        style=(TEMPLATES / "page.css").read_text(),
        script=(TEMPLATES / "page.js").read_text(),
        inline=inline,
        unique=unique,
        numeric=numeric,
        kind=lambda part: type(part).__name__,
    )


def render_markdown(parts: Sequence[Part], figures: str) -> str:
    """The parts as Markdown, with figures as PNG files in the folder `figures`."""
    lines: list[str] = []
    for part in parts:
        match part:
            case Heading():
                lines += [f"{'#' * part.level} {plain(part.text)}", ""]
            case Paragraph():
                lines += [("> " if part.kind == "warning" else "") + plain(part.text), ""]
            case Items():
                lines += [*(f"- {plain(entry)}" for entry in part.entries), ""]
            case Code():
                longest = max(map(len, re.findall(r"`{3,}", part.text)), default=2)
                lines += ["`" * (longest + 1), part.text, "`" * (longest + 1), ""]
            case Table():
                lines += markdown_table(part)
            case Picture():
                # The numbers are in the tables, and a page for a CI summary has to be short.
                alt = plain(part.figure.title.replace("[", "(").replace("]", ")"))
                lines += [f"![{alt}]({figures}/{part.figure.name}.png)", "", plain(part.caption), ""]
            case Matrix():
                columns = [part.corner, *(title for title, _ in part.columns)]
                rows = [
                    [title, *(f"{cell.text} {cell.symbol} {cell.word}" for cell in cells)] for title, cells in part.rows
                ]
                lines += markdown_table(Table(columns, rows, part.caption))
            case Details():
                lines += [f"**{plain(part.summary)}**", "", render_markdown(part.parts, figures)]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Markdown without HTML in it: what a log or a file says is text. Code between backticks is text already."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") and len(part) > 1 else part.replace("<", "&lt;") for part in parts)


def markdown_table(table: Table) -> list[str]:
    def cell(text: str) -> str:
        return plain(text.replace("|", "\\|").replace("\n", " "))

    rule = ["---:" if numeric(table, column) else "---" for column in range(len(table.columns))]
    return [
        *([plain(table.caption), ""] if table.caption else []),
        f"| {' | '.join(map(cell, table.columns))} |",
        f"| {' | '.join(rule)} |",
        *(f"| {' | '.join(map(cell, row))} |" for row in table.rows),
        "",
    ]
