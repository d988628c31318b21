"""Decision records as pages of the report."""

from __future__ import annotations

import re
from pathlib import Path

from assay.decision import EVIDENCE, FRONT
from assay.report.document import Heading, Items, Page, Paragraph, Part, Table

MARKER = re.compile(r"<!-- (people: \w+|end) -->\n?")


def pages(folder: Path) -> list[Page]:
    """A page a record; none where no record was written."""
    found = []
    for place in sorted(folder.glob("[0-9][0-9][0-9][0-9]-*.md")):
        title, parts = parse(place.read_text(encoding="utf-8"))
        found.append(Page(f"decisions/{place.stem}.html", f"Decision: {title}", parts, listed=False))
    return found


def parse(text: str) -> tuple[str, list[Part]]:
    """Title and parts of a record: headings, lists and paragraphs are all that MADR has."""
    parts: list[Part] = []
    if front := FRONT.match(text):
        rows = [line.partition(":")[::2] for line in front[0].splitlines()[1:-1]]
        parts.append(Table(["Field", "Value"], [[name.strip(), value.strip() or "-"] for name, value in rows]))
        text = text[front.end() :]
    text = MARKER.sub("", EVIDENCE.sub("", text)).replace("(../reports/latest/", "(../").replace("&lt;", "<")
    title = ""
    for block in re.split(r"\n{2,}", text.strip()):
        lines = block.strip().splitlines()
        if not lines:
            continue
        if match := re.match(r"(#+) (.*)", lines[0]):
            if len(match[1]) == 1:
                title = match[2]
            else:
                parts.append(Heading(match[2], len(match[1])))
            lines = lines[1:]
        if lines and all(line.startswith(("- ", "* ", "  ")) for line in lines):
            parts.append(Items([entry[2:] for entry in re.split(r"\n(?=[-*] )", "\n".join(lines))]))
        elif lines:
            parts.append(Paragraph(" ".join(lines)))
    return title, parts
