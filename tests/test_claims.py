"""Published tables and how their cells are judged: every cell has a rule, and a result flips its own badge alone."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from assay import backing, claims, facts, tool
from assay.badge import Known
from assay.errors import ClaimsError
from assay.measured import Case, Question
from assay.report import claims as pages
from assay.report.answer import alarms, answer
from assay.report.document import Code, Heading, Page, Paragraph, Table, render_html, render_markdown
from assay.served import Load, Served

ROOT = Path(__file__).resolve().parents[1]
TABLE = """feature,Ray,Dask,Far
Scalable training,Yes (via Train),No,Yes
Type of training,Data parallelism,Data + model parallelism,n/a
License,Apache 2.0,MIT,Proprietary
Documentation,Great,Great,Ok
"""
RUN = "20261101T000000Z-aaaa"
EVIDENCE = """title = "Training"
source = "a primer, 2024"
[columns.Ray]
tool = "ray"
distribution = "ray"
[columns.Dask]
tool = "dask"
distribution = "dask"
[columns.Far]
reason = "a managed service"
attach = "an account"
[rows."Scalable training"]
kind = "measured"
how = "the same job"
rule = "above 1.3"
speedup = { scenario = "strong", workers = 2, confirmed = 1.3, contradicted = 1.1 }
cells.Ray = { shows = "Yes (via Train)" }
[rows."Type of training"]
kind = "live"
how = "two ranks"
rule = "the reference loss"
trials = [{ scenario = "strong", workers = 2 }]
shows = "Data parallelism"
[rows.License]
kind = "fact"
how = "metadata"
rule = "the same identifier"
fact = "license"
[rows.Documentation]
kind = "judgement"
how = "people"
rule = "kept"
"""


def folder(tmp_path: Path, table: str = TABLE, evidence: str = EVIDENCE) -> Path:
    place = tmp_path / "training"
    place.mkdir()
    (place / "table.csv").write_text(table)
    (place / "evidence.toml").write_text(evidence)
    return place


def case(name: str, workers: int, scale: float, outcome: str = "ok", blocks: int = 10) -> Case:
    draw = random.Random(f"{name} {workers}")
    rows: list[dict[str, Any]] = [
        {
            "outcome": outcome,
            "block": block,
            "trial": block,
            "throughput": 100 * scale * draw.gauss(1, 0.01),
            "window": "steady",
            "settings": "{}",
            "phase": "measure",
            "codes": None,
            "facts": "[]",
            "error": "RuntimeError: no ranks",
            "findings": None,
        }
        for block in range(blocks)
    ]
    return Case(name, name, "cpu", workers, False, rows)


def known(ray: float = 1.6, dask: float = 1.5, ray_outcome: str = "ok", blocks: int = 10) -> Known:
    text = {"capability": "train", "title": "One job", "measure": {"baseline": "plain"}}
    machine = json.dumps({"cores": 2, "cpuset": [0, 1]})
    run = {"run": RUN, "seed": 1, "started_utc": "2026-11-01T00:00:00+00:00", "machine": machine}
    found = [
        case("plain", 1, 1.0, blocks=blocks),
        case("ray", 2, ray, ray_outcome, blocks),
        case("dask", 2, dask, blocks=blocks),
    ]
    question = Question("strong", text, run, found, 0)
    environments = [
        {
            "run": RUN,
            "tool": name,
            "python": "3.11",
            "packages": [[name, "1.0", licence]],
        }
        for name, licence in (("ray", "Apache Software License"), ("dask", "BSD-3-Clause"))
    ]
    return Known(
        questions={"strong": question},
        answers={"strong": answer(question, "cpu")},
        served={},
        installed=facts.installed(environments),
        tools=tool.find([ROOT / "benchmarks/tools"], ROOT),
        releases={},
        today=datetime.date(2026, 11, 20),
    )


def words(table: claims.Table, told: Known) -> dict[tuple[str, str], str]:
    return {place: cell.found.word for place, cell in backing.back(table, told).cells.items()}


def test_every_published_cell_of_the_six_tables_has_a_rule() -> None:
    tables = {table.component: table for table in claims.load_all(ROOT / "scenarios")}
    tools = tool.find([ROOT / "benchmarks/tools"], ROOT)

    assert set(tables) == {"cloud", "orchestration", "registry", "serving", "tracking", "training"}
    for table in tables.values():
        assert set(table.published) <= set(table.rules)
        assert set(table.status) == {name for name, column in table.columns.items() if not column.added}
        for column in table.columns.values():
            assert {column.tool, column.stand_in} - {None} <= tools.keys()


def test_cells_are_judged_by_the_interval_the_trials_and_the_metadata(tmp_path: Path) -> None:
    table = claims.load(folder(tmp_path), {})

    assert words(table, known(ray=1.6, dask=1.05)) == {
        ("Scalable training", "Ray"): "confirmed",
        ("Scalable training", "Dask"): "confirmed",  # published as No, and it is not
        ("Scalable training", "Far"): "not measurable",
        ("Type of training", "Ray"): "confirmed",
        ("Type of training", "Dask"): "live",  # more is published than was proved
        ("Type of training", "Far"): "not measurable",
        ("License", "Ray"): "confirmed",
        ("License", "Dask"): "contradicted",
        ("License", "Far"): "judgement",
        ("Documentation", "Ray"): "judgement",
        ("Documentation", "Dask"): "judgement",
        ("Documentation", "Far"): "judgement",
    }


def test_a_changed_result_flips_its_own_badge_and_no_other(tmp_path: Path) -> None:
    table = claims.load(folder(tmp_path), {})
    before, after = words(table, known(ray=1.6)), words(table, known(ray=1.0))

    assert {place for place in before if before[place] != after[place]} == {("Scalable training", "Ray")}
    assert after["Scalable training", "Ray"] == "contradicted"


def test_an_interval_across_the_threshold_and_too_few_blocks_are_unclear(tmp_path: Path) -> None:
    table = claims.load(folder(tmp_path), {})

    assert words(table, known(ray=1.2))["Scalable training", "Ray"] == "unclear"
    assert words(table, known(ray=1.6, blocks=3))["Scalable training", "Ray"] == "unclear"
    assert words(table, known(ray=1.6, blocks=6))["Scalable training", "Ray"] == "unclear"
    assert words(table, known(blocks=2))["Type of training", "Ray"] == "unclear"  # a proof is asked for three times


def test_what_a_yes_says_beside_it_has_to_be_shown_too(tmp_path: Path) -> None:
    table = claims.load(
        folder(tmp_path, evidence=EVIDENCE.replace('cells.Ray = { shows = "Yes (via Train)" }\n', "")), {}
    )
    cell = backing.back(table, known()).cells["Scalable training", "Ray"]

    assert (cell.found.word, cell.found.holds) == ("measured", True)
    assert "beside Yes is not measured" in cell.found.said


def test_a_busy_machine_says_nothing_of_a_tool_and_a_lone_failure_is_mixed(tmp_path: Path) -> None:
    table = claims.load(folder(tmp_path), {})
    for codes, word in (("NOISE", "confirmed"), ("LOSS", "unclear")):
        told = known()
        told.questions["strong"].cases[1].rows[0].update(outcome="invalid", codes=codes)

        assert words(table, told)["Type of training", "Ray"] == word


def test_a_cell_shows_every_proof_that_it_rests_on(tmp_path: Path) -> None:
    told = known()
    other = dataclasses.replace(
        told.questions["strong"], name="weak", run={"run": "20260101T000000Z-bbbb", "machine": "{}"}
    )
    told = dataclasses.replace(told, questions={**told.questions, "weak": other})
    evidence = EVIDENCE.replace(
        'trials = [{ scenario = "strong", workers = 2 }]',
        'trials = [{ scenario = "strong", workers = 2 }, { scenario = "weak", workers = 2 }]',
    )
    one = backing.back(claims.load(folder(tmp_path, evidence=evidence), {}), told)
    page = Page("training.html", "Training", pages.table_parts(one, told.today, (), ()))
    html = render_html(page, [page])

    for proof in ("strong/ray/cpu/2 --run 20261101T000000Z-aaaa", "weak/ray/cpu/2 --run 20260101T000000Z-bbbb"):
        assert f"assay reproduce {proof}" in html
    assert one.cells["Type of training", "Ray"].found.badge == "old"  # by the oldest of them


def test_trials_that_a_figure_lacks_are_said(tmp_path: Path) -> None:
    told = known()
    question = told.questions["strong"]
    question.run["dirty"] = False
    for row in (row for one in question.cases for row in one.rows):
        row["exposed"] = None
    question.case("ray", "cpu", 2).rows[0]["outcome"] = "timeout"
    told = dataclasses.replace(told, answers={"strong": answer(question, "cpu")})
    cells = backing.back(claims.load(folder(tmp_path), {}), told).cells

    assert "1 of 10 trials were not right and are not in it" in cells["Scalable training", "Ray"].found.said
    assert "not right" not in cells["Scalable training", "Dask"].found.said
    assert alarms(told.answers["strong"])[0].startswith("ray ×2: 1 of its trials ended as timeout")


def test_an_old_result_is_shown_as_old(tmp_path: Path) -> None:
    told = dataclasses.replace(known(), today=datetime.date(2027, 6, 1))
    cell = backing.back(claims.load(folder(tmp_path), {}), told).cells["Scalable training", "Ray"]

    assert cell.found.word == "old"
    assert "212 days ago: confirmed then" in cell.found.said


def test_workers_that_share_a_core_contradict_nothing(tmp_path: Path) -> None:
    told = known(ray=1.0)
    told.questions["strong"].run["machine"] = json.dumps({"cores": 1, "cpuset": [0, 1]})

    assert words(claims.load(folder(tmp_path), {}), told)["Scalable training", "Ray"] == "unclear"


def probing(states: list[str], values: Sequence[float | None] = ()) -> Known:
    rows = [
        {
            "outcome": "ok",
            "block": block,
            "trial": block,
            "settings": "{}",
            "codes": None,
            "findings": json.dumps([{"name": "flow", "state": state, "said": "1 MB", "value": value}] if state else []),
        }
        for block, (state, value) in enumerate(itertools.zip_longest(states, values))
    ]
    run = {"run": RUN, "machine": json.dumps({"cores": 2, "cpuset": [0, 1]})}
    question = Question("asked", {"capability": "probe"}, run, [Case("ray", "ray", "cpu", 1, False, rows)], 0)
    return dataclasses.replace(known(), questions={"asked": question}, answers={})


def test_a_shard_that_is_no_shard_proves_no_model_parallelism(tmp_path: Path) -> None:
    text = EVIDENCE.replace(
        '[{ scenario = "strong", workers = 2 }]', '[{ scenario = "strong", workers = 2, held = 0.6 }]'
    )
    table = claims.load(folder(tmp_path, evidence=text), {})
    for held, word in ((50, "confirmed"), (100, "unclear")):
        told = known()
        for row in told.questions["strong"].cases[1].rows:
            row["facts"] = json.dumps([{"parameter_bytes": held, "model_bytes": 100}] * 2)

        assert words(table, told)["Type of training", "Ray"] == word


def test_a_gpu_is_proved_by_ranks_that_report_it_and_by_memory_that_holds_the_model(tmp_path: Path) -> None:
    text = EVIDENCE.replace(
        '[{ scenario = "strong", workers = 2 }]', '[{ scenario = "strong", workers = 2, device = "cuda" }]'
    )
    table = claims.load(folder(tmp_path, evidence=text), {})
    for device, held, word in (("cuda:0", 100, "confirmed"), ("cuda:0", 99, "unclear"), ("cpu", 100, "unclear")):
        told = dataclasses.replace(known(), answers={})
        case = dataclasses.replace(told.questions["strong"].cases[1], device="cuda")
        told.questions["strong"].cases[1] = case
        for row in case.rows:
            row["device_bytes"] = held
            row["facts"] = json.dumps([{"device": device, "device_name": "H200", "model_bytes": 100}] * 2)

        assert words(table, told)["Type of training", "Ray"] == word
    assert words(table, known())["Type of training", "Ray"] == "not measured"


def offered(*loads: tuple[str, int, float], blocks: int = 3) -> list[Load]:
    """In every block the same loads: kind, processes in which the model was called, and requests answered a second."""
    blank = dict.fromkeys((field.name for field in dataclasses.fields(Load)), None)
    given = {"codes": None, "errors": 0, "saturated": False, "batch_sizes": {}, "row": {}}
    return [
        Load(**{**blank, **given, "block": block, "kind": kind, "answering": answering, "achieved": achieved})  # type: ignore[arg-type]
        for block in range(blocks)
        for kind, answering, achieved in loads
    ]


def serving(loads: dict[int, list[Load]]) -> Known:
    """A server with so many replicas each."""
    found = [case("ray", replicas, 1.0, blocks=3) for replicas in loads]
    text = {"capability": "serve", "title": "Replicas", "measure": {"baseline": "ray"}}
    question = Question("replicas", text, {"run": RUN}, found, 0)
    one = Served(question, {("ray", "cpu", replicas): those for replicas, those in loads.items()}, {}, {})
    return dataclasses.replace(known(), questions={"replicas": question}, served={"replicas": one}, answers={})


@pytest.mark.parametrize(("counts", "word"), [((1, 2, 1), "live"), ((1, 1, 1), "unclear"), ((1, 2, 2), "unclear")])
def test_replicas_follow_the_load_up_and_down(counts: tuple[int, ...], word: str) -> None:
    kinds = ("single_stream", "offline", "server")
    loads = offered(*((kind, count, 1.0) for kind, count in zip(kinds, counts, strict=True)))
    rule = claims.Rule(kind="live", how="", rule="", trials=[claims.Trials(scenario="replicas", follows=True)])
    found = backing.judge("", rule, claims.Column(tool="ray"), serving({1: loads}))

    assert found.word == word
    assert ", ".join(map(str, counts)) in found.said


@pytest.mark.parametrize(
    ("answering", "said"),
    [
        (2, "1.9 (n = 3) times as much as with one; its model was called in 2 processes at most (replicas"),
        (1, "as with one; its model was called in 1 process at most (replicas"),
    ],
)
def test_what_a_second_replica_adds_is_said_beside(answering: int, said: str) -> None:
    told = serving({1: offered(("offline", 1, 10.0)), 2: offered(("offline", answering, 19.0))})
    rule = claims.Rule(kind="live", how="", rule="", gain="replicas")
    found = backing.judge("Yes", rule, claims.Column(tool="ray"), told)

    assert said in found.added


@pytest.mark.parametrize(
    ("published", "states", "word"),
    [
        ("Yes", ["passed"] * 3, "confirmed"),
        ("No", ["passed"] * 3, "contradicted"),
        ("No", ["none"] * 3, "confirmed"),
        ("Yes", ["none"] * 3, "contradicted"),
        ("n/a", ["passed"] * 3, "live"),
        ("No", ["declined"] * 3, "judgement"),
        ("Yes", ["failed"] * 3, "failed"),
        ("Yes", ["passed", "passed", "failed"], "unclear"),
        ("Yes", ["passed", "passed", "passed", ""], "unclear"),  # a trial that broke off before
        ("Yes", ["passed"] * 2, "unclear"),
        ("Yes", [""] * 3, "not measured"),
    ],
)
def test_what_probes_found(published: str, states: list[str], word: str) -> None:
    rule = claims.Rule(kind="live", how="a flow", rule="equal", probe=claims.Probe(scenario="asked", finding="flow"))
    found = backing.judge(published, rule, claims.Column(tool="ray"), probing(states))

    assert found.word == word


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([1.6, 1.7] * 4, "confirmed"),
        ([1.0, 1.05] * 4, "contradicted"),
        ([1.2, 1.5] * 4, "unclear"),  # the interval lies across a bound
        ([1.6, 1.7] * 3, "unclear"),  # fewer than seven
        ([None] * 8, "unclear"),  # no ratio was measured
    ],
)
def test_what_a_probe_measured_is_judged_by_its_interval(values: list[float | None], word: str) -> None:
    bounds = claims.Bounds(confirmed=1.3, contradicted=1.1)
    probe = claims.Probe(scenario="asked", finding="flow", bounds=bounds)
    rule = claims.Rule(kind="measured", how="a search", rule="faster", probe=probe, shows="Yes (via Tune)")
    asked = probing(["passed"] * len(values), values)
    found = backing.judge("Yes (via Tune)", rule, claims.Column(tool="ray"), asked)

    assert found.word == word


def test_a_failure_is_never_a_no(tmp_path: Path) -> None:
    table = claims.load(folder(tmp_path), {})
    cell = backing.back(table, known(ray_outcome="crashed")).cells["Scalable training", "Ray"]

    assert (cell.found.word, cell.found.verdict) == ("failed", "")
    assert "RuntimeError: no ranks" in cell.found.said


def test_what_no_run_has_says_how_to_measure_it(tmp_path: Path) -> None:
    table = claims.load(folder(tmp_path), {})
    nothing = dataclasses.replace(known(), questions={}, answers={}, installed={})
    cell = backing.back(table, nothing).cells["Scalable training", "Ray"]

    assert cell.found.word == "not measured"
    assert cell.found.command == "nox -s bench -- strong --profile full"


@pytest.mark.parametrize(
    ("table", "evidence", "message"),
    [
        (TABLE + "\nStars,1,2,3\n", EVIDENCE, "no entry [rows.'Stars']"),
        (TABLE.replace("Great,Great", "Great"), EVIDENCE, "3 cells, 4 were expected"),
        (TABLE, EVIDENCE.replace("[columns.Far]", "[columns.Near]"), "no entry [columns.'Far']"),
        (TABLE, EVIDENCE.replace('kind = "judgement"', 'kind = "guess"'), "rows.Documentation.kind"),
        (TABLE, EVIDENCE + 'cells.Nobody = { kind = "live" }\n', "cells.Nobody is no column"),
        (TABLE, "title = ", "Invalid value"),
        (TABLE + "License,1,2,3\n", EVIDENCE, "'License' stands there twice"),
    ],
)
def test_a_fault_names_its_place(tmp_path: Path, table: str, evidence: str, message: str) -> None:
    with pytest.raises(ClaimsError) as caught:
        claims.load(folder(tmp_path, table, evidence), {})

    assert message in str(caught.value)


def test_a_scenario_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    place = folder(tmp_path)
    for name in ("strong", "data-parallel"):
        (place / f"{name}.toml").touch()
    assert len(claims.load_all(tmp_path)) == 1
    (place / "strong.toml").unlink()
    with pytest.raises(ClaimsError, match=r"evidence.toml: there is no scenario 'strong'"):
        claims.load_all(tmp_path)


@pytest.mark.parametrize(
    ("published", "claimed"),
    [("Yes", True), ("Yes (via Train)", True), ("No (uncertain)", False), ("n/a", None), ("", None), ("Poor", None)],
)
def test_what_a_cell_claims(published: str, claimed: bool | None) -> None:
    assert claims.claims(published) is claimed


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("Apache", "Apache-2.0"),
        ("Apache Software License", "Apache-2.0"),
        ("Modified BSD", "BSD-3-Clause"),
        ("MIT", "MIT"),
        ("Proprietary", None),
        ("Open source", None),
        ("", None),
    ],
)
def test_licences_are_compared_as_spdx_identifiers(text: str, identifier: str | None) -> None:
    assert facts.spdx(text) == identifier


def test_a_status_grows_old() -> None:
    status = claims.Status(state="active", checked_on=datetime.date(2026, 1, 1))

    assert not status.old(datetime.date(2026, 6, 1))
    assert status.old(datetime.date(2026, 7, 1))
    assert not claims.Status(state="proprietary").old(datetime.date(2026, 7, 1))


def test_the_page_holds_the_table_and_the_front_counts_it(tmp_path: Path) -> None:
    one = backing.back(claims.load(folder(tmp_path), {}), known())
    today = datetime.date(2026, 11, 1)
    page = Page("training.html", "Training", pages.table_parts(one, today, {"ray"}, {"strong"}))
    html = render_html(page, [page])
    front = render_markdown(pages.front_parts([one]), "figures")

    assert html.count('data-badge="') == 12
    assert 'id="license-dask" data-badge="contradicted"' in html
    # Dask scales, published as No, and has another licence.
    assert "Of 12 published cells (a primer, 2024), 3 confirmed, 2 contradicted, 0 unclear." in front
    assert "Of the rest 1 were tried or read without a verdict, 4 are people's judgement, 2 are out of reach" in front
    assert "How (live): two ranks. Rule: the reference loss." in html
    assert json.dumps(pages.summary([one]))


def test_the_time_line_has_what_became_of_systems_and_their_releases() -> None:
    tables = claims.load_all(ROOT / "scenarios")
    released = {"ray==2.60.0": datetime.date(2026, 10, 1), "elsewhere==1.0": datetime.date(2026, 10, 2)}
    dated = pages.timeline(tables, released)

    assert dated == sorted(dated, reverse=True)
    assert [name for _, name, fact in dated if fact == "ray 2.60.0 released"] == ["Ray Serve", "Ray"]
    assert ["2025-08-07", "TorchServe"] in [fact[:2] for fact in dated]
    assert not any("elsewhere" in fact for _, _, fact in dated)


def test_what_comes_from_files_and_logs_is_text() -> None:
    hostile = "<script>alert(1)</script> [x](javascript:alert(1)) [y](https://example.org) ```"
    parts = [Heading(hostile), Paragraph(hostile), Code(hostile), Table([hostile], [[hostile]], hostile)]
    page = Page("index.html", hostile, parts)
    html, text = render_html(page, [page]), render_markdown(parts, "figures")

    assert "<script>alert" not in html
    assert 'href="javascript' not in html
    assert 'href="https' not in html
    assert "<script>" not in text.replace(f"````\n{hostile}\n````", "")
