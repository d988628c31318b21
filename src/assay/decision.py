"""Decision records (MADR 4): evidence filled in, people's words kept, and a check that fails once evidence flipped.

A record is `decisions/<NNNN>-<component>.md`. What stands between the markers `<!-- people: NAME -->` and
`<!-- end -->`, and the front matter, belongs to people; everything else is written anew.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from assay.backing import Backed, Cell
from assay.badge import BADGES
from assay.claims import FRESH_DAYS, claims
from assay.errors import UsageError
from assay.report.claims import anchor, path

PEOPLE = re.compile(r"<!-- people: (?P<name>\w+) -->\n(?P<text>.*?)\n?<!-- end -->", re.DOTALL)
FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
EVIDENCE = re.compile(r"<!-- evidence: (?P<json>\{.*\}) -->")
DEFAULTS = {
    "context": "Which of these tools do we use? (Say what you build, for whom, and what exists already.)",
    "drivers": "- What must, should, could and will not be is in `scenarios/{component}/moscow.toml`.",
    "outcome": "None is chosen yet: assay fills in the evidence, people decide.",
    "consequences": "- Good, because ...\n- Bad, because ...",
    "notes": "Who was asked, what else was weighed.",
}
RESTS_ON = ("confirmed", "contradicted", "failed", "unclear")


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """What a record rests on: by cell its badge and the oldest of its runs."""

    cells: Mapping[str, tuple[str, str]]

    def changes(self, now: Evidence, today: datetime.date) -> list[str]:
        """What flipped, and what is too old to rely on, in words."""
        found = []
        for name, (word, run) in self.cells.items():
            word_now, run_now = now.cells.get(name, ("gone", ""))
            if word_now != word:
                found.append(f"{name}: was {word} (run {run or '-'}), is {word_now} (run {run_now or '-'})")
            elif run_now and (age := (today - day(run_now)).days) > FRESH_DAYS:
                found.append(f"{name}: {word} rests on run {run_now}, {age} days old; more than {FRESH_DAYS}")
        return found


def day(run: str) -> datetime.date:
    """Of a run, by its name."""
    return datetime.datetime.strptime(run[:8], "%Y%m%d").date()


def evidence(backed: Backed) -> Evidence:
    """Of the cells that say something: a record does not rest on what nobody measured."""
    return Evidence(
        {
            f"{cell.column}: {cell.row}": (cell.found.word, next(iter(cell.found.runs), ""))
            for cell in backed.cells.values()
            if cell.found.word in RESTS_ON
        }
    )


def record(backed: Backed, old: str, today: datetime.date) -> str:
    """The record's text; `old` is what stands there already, or empty."""
    table = backed.table
    kept = {match["name"]: match["text"] for match in PEOPLE.finditer(old)}
    front = FRONT.match(old)
    head = (
        front[0] if front else f"---\nstatus: proposed\ndate: {today}\ndecision-makers:\nconsulted:\ninformed:\n---\n"
    )

    def people(name: str) -> str:
        text = kept.get(name, DEFAULTS[name].format(component=table.component))
        return f"<!-- people: {name} -->\n{text}\n<!-- end -->"

    options = list(table.columns)
    lines = [
        head,
        f"# {table.title}",
        "",
        "## Context and Problem Statement",
        "",
        people("context"),
        "",
        "## Decision Drivers",
        "",
        people("drivers"),
        "",
        "## Considered Options",
        "",
        *(f"- {name}{' (not in the published table)' if table.columns[name].added else ''}" for name in options),
        "",
        "## Decision Outcome",
        "",
        people("outcome"),
        "",
        "### Consequences",
        "",
        people("consequences"),
        "",
        "### Confirmation",
        "",
        f"`assay decide {table.component} --check` fails once the evidence below flipped, or is older than "
        f"{FRESH_DAYS} days.",
        "",
        "## Pros and Cons of the Options",
        "",
    ]
    for name in options:
        lines += [f"### {name}", "", *bullets(backed, name), ""]
    found = json.dumps(evidence(backed).cells, ensure_ascii=False, sort_keys=True)
    lines += ["## More Information", "", people("notes"), "", f"<!-- evidence: {found} -->", ""]
    return "\n".join(lines)


def bullets(backed: Backed, column: str) -> list[str]:
    """Good, neutral and bad of an option, each with its badge and where to read on."""
    cells = [backed.cells[row, column] for row in backed.table.rows]
    found = [
        bullet(word, backed, cell) for word in ("Good", "Neutral", "Bad") for cell in cells if weight(cell) == word
    ]
    reason = backed.table.columns[column].blocked or backed.table.columns[column].reason
    if reason:
        found.append(f"- Neutral, because nothing of it was measured here: {reason}.")
    return found or ["- Neutral, because no run has measured anything of it yet."]


def weight(cell: Cell) -> str:
    """What a cell says for the option; empty where it says nothing. More than was published speaks for it."""
    word, claimed = cell.found.word, claims(cell.published)
    if word in ("unclear", "live", "measured", "fact"):
        return "Neutral"
    if word == "failed":  # of a cause of its own, which is never a "No"
        return "Bad" if claimed else "Neutral"
    if word not in ("confirmed", "contradicted"):
        return ""
    if cell.rule.fact:
        return "Good" if word == "confirmed" else "Neutral"
    return "Good" if (word == "confirmed") == (claimed is not False) else "Bad"


def bullet(word: str, backed: Backed, cell: Cell) -> str:
    place = f"../reports/latest/{path(backed.table)}#{anchor(cell.row, cell.column)}"
    badge = f"{BADGES[cell.found.word]} {cell.found.word}"
    published = f', published "{cell.published}"' if cell.published else ""
    said = cell.found.said.rstrip(".").replace("<", "&lt;")
    return f"- {word}, because {cell.row} is {badge}{published}: {said} ([evidence]({place}))."


def file_of(folder: Path, component: str, components: Sequence[str]) -> Path:
    """A component's record: the one that stands there, else the next number in the order of the tables."""
    for existing in sorted(folder.glob(f"[0-9][0-9][0-9][0-9]-{component}.md")):
        return existing
    return folder / f"{components.index(component) + 1:04}-{component}.md"


def write(tables: Sequence[Backed], asked: Sequence[str], folder: Path, today: datetime.date) -> list[Path]:
    """Write or renew the records of `asked`, or of all tables. Raises UsageError for an unknown component."""
    chosen = select(tables, asked)
    folder.mkdir(exist_ok=True)
    written = []
    for one in chosen:
        place = file_of(folder, one.table.component, [table.table.component for table in tables])
        old = place.read_text(encoding="utf-8") if place.exists() else ""
        place.write_text(record(one, old, today), encoding="utf-8")
        written.append(place)
    return written


def check(tables: Sequence[Backed], asked: Sequence[str], folder: Path, today: datetime.date) -> list[str]:
    """What no longer stands in the records of `asked`, or in all that there are, a line each."""
    found = []
    for one in select(tables, asked):
        place = file_of(folder, one.table.component, [table.table.component for table in tables])
        if not place.exists():
            if asked:
                raise UsageError(f"{place}: no such record; write it: assay decide {one.table.component}")
            continue
        match = EVIDENCE.search(place.read_text(encoding="utf-8"))
        if not match:
            raise UsageError(f"{place}: its line <!-- evidence: ... --> is gone; renew it: assay decide")
        try:
            before = Evidence({name: (word, run) for name, (word, run) in json.loads(match["json"]).items()})
        except (ValueError, TypeError) as fault:
            raise UsageError(f"{place}: its evidence cannot be read: {fault}; renew it: assay decide") from fault
        found += [f"{place.name}: {change}" for change in before.changes(evidence(one), today)]
    return found


def select(tables: Sequence[Backed], asked: Sequence[str]) -> list[Backed]:
    known = [one.table.component for one in tables]
    if unknown := set(asked) - set(known):
        raise UsageError(f"no table {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [one for one in tables if not asked or one.table.component in asked]
