"""A published table as claims: its cells as they were published, and how each of them is backed.

`table.csv` holds the table, `evidence.toml` beside it an entry a row (and a cell, where a tool needs its own) and an
entry a column: which file of `benchmarks/tools` it is, or why it cannot be measured here and what someone who has
access would supply. `status.toml` says what became of each system.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from assay import scenario
from assay.errors import ClaimsError

Kind = Literal["measured", "live", "fact", "judgement", "not measurable"]
Verdict = Literal["confirmed", "contradicted", "unclear", ""]
NO_CLAIM = ("", "n/a", "Unknown", "Not sure")
FRESH_DAYS = 180  # a result or a status that is older is shown as old


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(Model):
    """A system of the table."""

    tool: str | None = None  # of benchmarks/tools
    stand_in: str | None = None  # a tool that packages the same way; shown beside a cell, never deciding it
    distribution: str | None = None  # that facts are read from
    blocked: str = ""  # why it cannot be installed here
    reason: str = ""  # why it cannot be measured here
    attach: str = ""  # what someone who has access supplies
    added: bool = False  # the published table lacks it


class Bounds(Model):
    """Of a ratio: the whole interval above `confirmed`, or below `contradicted`."""

    confirmed: float
    contradicted: float


class Speedup(Bounds):
    """Of a scenario's workers over the best plain single process."""

    scenario: str
    workers: int
    beside: str = ""  # a scenario of another size, whose figure stands beside it


class Trials(Model):
    """Trials whose answers were right are the proof."""

    scenario: str
    workers: int | None = None
    settings: dict[str, str | int] = {}
    held: float | None = None  # the share of the model's parameters that a rank may hold at most
    device: Literal["cpu", "cuda"] | None = None  # that each rank reports; a GPU's memory has to hold the model
    follows: bool = False  # a server's model is called in one process, in more under load, and in one again after


class Probe(Model):
    """What a probe of a scenario found."""

    scenario: str
    finding: str | list[str]  # all of them have to pass
    tool: str | None = None  # that is asked, where a cell names another than its column's
    bounds: Bounds | None = None  # of the value that the finding measured
    cores: int = 1  # that the machine must have for the value to say something of the tool

    @property
    def findings(self) -> list[str]:
        return [self.finding] if isinstance(self.finding, str) else self.finding


class Rule(Model):
    """How a row, or one of its cells, is backed."""

    kind: Kind
    how: str  # what is run or read
    rule: str  # when that confirms
    speedup: Speedup | None = None
    trials: list[Trials] | None = None  # all of them have to be right
    probe: Probe | None = None
    fact: Literal["license", "version", "stars"] | None = None
    gain: str = ""  # a scenario with more replicas than one; what they add stands beside, and decides nothing
    shows: str | None = None  # what of the cell is shown: no verdict where the published words are others
    cells: dict[str, dict[str, Any]] = Field(default={}, exclude=True)

    @property
    def scenarios(self) -> set[str]:
        """Those that it names."""
        proofs = [one.scenario for one in (self.speedup, self.probe, *(self.trials or [])) if one]
        return {*proofs, self.speedup.beside if self.speedup else "", self.gain} - {""}


class Evidence(Model):
    title: str
    source: str  # who published the table, and when
    columns: dict[str, Column]
    rows: dict[str, Rule]


class Status(Model):
    """What became of a system."""

    state: str
    name_today: str = ""
    since: str = ""
    evidence: str = ""
    checked_on: datetime.date | None = None

    def old(self, today: datetime.date) -> bool:
        """Whether it was checked too long ago to be relied on; what was never checked is not old but unchecked."""
        return self.checked_on is not None and (today - self.checked_on).days > FRESH_DAYS


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A component's published table with its evidence rules; cells by (row, column)."""

    component: str
    title: str
    source: str
    rows: tuple[str, ...]
    columns: dict[str, Column]
    published: dict[tuple[str, str], str]
    rules: dict[tuple[str, str], Rule]
    common: dict[str, Rule]  # by row, for the cells without one of their own
    status: dict[str, Status]


def load_all(folder: Path, tools: Collection[str] | None = None) -> list[Table]:
    """The tables below a folder of scenarios, by component; `tools` are those that have a file.

    Raises ClaimsError with every fault.
    """
    tables, faults = [], []
    paths = sorted(folder.glob("*/table.csv"))
    scenarios = scenario.find(folder).keys() if paths else set()
    statuses = statuses_of(folder / "status.toml")
    for path in paths:
        try:
            table = load(path.parent, statuses.get(path.parent.name, {}))
            tables.append(table)
            faults += [
                f"{path.with_name('evidence.toml')}: columns.{name}: benchmarks/tools has no {one}.py"
                for name, column in table.columns.items()
                for one in (column.tool, column.stand_in)
                if one and tools is not None and one not in tools
            ]
            named = {name for rule in table.rules.values() for name in rule.scenarios}
            faults += [
                f"{path.with_name('evidence.toml')}: there is no scenario {name!r}"
                for name in sorted(named - scenarios)
            ]
        except ClaimsError as fault:
            faults.append(str(fault))
    if faults:
        raise ClaimsError("\n".join(faults))
    return tables


def statuses_of(path: Path) -> dict[str, dict[str, Status]]:
    """By component and system; empty where there is no file."""
    if not path.exists():
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return {
            component: {name: Status.model_validate(fields) for name, fields in systems.items()}
            for component, systems in document.items()
        }
    except (OSError, ValueError) as fault:
        raise ClaimsError(f"{path}: {fault}") from fault


def load(folder: Path, status: dict[str, Status]) -> Table:
    """The table and the evidence of one component. Raises ClaimsError with every fault of the two files."""
    place = folder / "evidence.toml"
    try:
        with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
            head, *lines = (line for line in csv.reader(file) if line)
        evidence = Evidence.model_validate(tomllib.loads(place.read_text(encoding="utf-8")))
    except pydantic.ValidationError as error:
        raise ClaimsError(
            "\n".join(f"{place}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        ) from error
    except (OSError, ValueError, csv.Error) as fault:
        raise ClaimsError(f"{folder}: {fault}") from fault
    columns, rows = head[1:], [line[0] for line in lines]
    faults = [
        f"{folder / 'table.csv'}: {line[0]}: {len(line)} cells, {len(head)} were expected"
        for line in lines
        if len(line) != len(head)
    ]
    faults += [f"{folder / 'table.csv'}: {name!r} stands there twice" for name in repeated([*columns, *rows])]
    faults += [f"{place}: no entry [rows.{row!r}]: no cell goes without" for row in rows if row not in evidence.rows]
    faults += [f"{place}: [rows.{row!r}] is no row of table.csv" for row in evidence.rows if row not in rows]
    faults += [f"{place}: no entry [columns.{name!r}]" for name in columns if name not in evidence.columns]
    faults += [
        f"{place}: [columns.{name!r}] is no column of table.csv; say added = true"
        for name, column in evidence.columns.items()
        if name not in columns and not column.added
    ]
    rules = {}
    for row, rule in evidence.rows.items():
        faults += [
            f"{place}: rows.{row}.cells.{name} is no column" for name in rule.cells if name not in evidence.columns
        ]
        for name in evidence.columns:
            try:
                rules[row, name] = Rule.model_validate(
                    {**rule.model_dump(exclude_none=True), **rule.cells.get(name, {})}
                )
            except pydantic.ValidationError as error:
                faults += [f"{place}: rows.{row}.cells.{name}: {one['msg']}" for one in error.errors()]
    if faults:
        raise ClaimsError("\n".join(faults))
    return Table(
        component=folder.name,
        title=evidence.title,
        source=evidence.source,
        rows=tuple(rows),
        columns=evidence.columns,
        published={(line[0], name): cell for line in lines for name, cell in zip(columns, line[1:], strict=True)},
        rules=rules,
        common=evidence.rows,
        status=status,
    )


def repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def claims(published: str) -> bool | None:
    """Whether a cell says yes or no; None where it says neither. `(uncertain)` is taken like the plain word."""
    if published in NO_CLAIM:
        return None
    return {"Yes": True, "No": False}.get(published.split(" ")[0].strip(","))


def qualified(published: str) -> bool:
    """Whether a "Yes" says more than that, such as "(via Train)": the rest has to be shown, too."""
    return published.startswith("Yes") and published not in ("Yes", "Yes (uncertain)")
