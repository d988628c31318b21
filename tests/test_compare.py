"""Two sides of a comparison: what differs between them comes first, and what did not measure the same is refused."""

from __future__ import annotations

import collections
import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest

from assay import compare, reproduce
from assay import statistics as rules
from assay.compare import Side
from assay.errors import UsageError
from assay.measured import Case, Question
from tests.conftest import Assay

MACHINE = {"cpu": "x", "cores": 2, "kernel": "6.1"}
SIDES = Side("a", None), Side("b", None)


def case(label: str, scale: float, seed: int, control: bool = False) -> Case:
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = [
        {"outcome": "ok", "block": block, "throughput": 100 * scale * draw.gauss(1, 0.01), "window": "steady"}
        for block in range(10)
    ]
    return Case(f"{label} (control)" if control else label, label, "cpu", 1, control, rows)


def question(run: str, scale: float, seed: int, **text: Any) -> Question:
    """A run of two tools and the control's twin; tool `t` has `scale`."""
    fields = {"run": run, "seed": 1, "method_version": 1, "profile": "full", "commit": run, "dirty": False}
    return Question(
        name="q",
        text={"capability": "train", "workload": "w", "measure": {"control": "base"}, **text},
        run={**fields, "assay": "0", "inputs": "{}", "machine": json.dumps(MACHINE)},
        cases=[case("base", 1, seed), case("base", 1, seed + 1, control=True), case("t", scale, seed + 2)],
        rejected=0,
    )


def test_two_runs_are_compared_unpaired_and_a_change_is_found() -> None:
    first, second = question("a", 1.0, 10), question("b", 0.9, 60)
    found = {row.case: row for row in compare.trained(first, second, SIDES)}

    assert set(found) == {"base ×1 cpu", "base (control) ×1 cpu", "t ×1 cpu"}
    assert found["t ×1 cpu"].comparison.word == "slower"
    assert found["t ×1 cpu"].comparison.ratio.value == pytest.approx(0.9, abs=0.02)
    assert found["base ×1 cpu"].comparison.word != "slower"


def test_two_tools_of_one_run_are_paired() -> None:
    one = question("a", 1.2, 30)
    (row,) = compare.trained(one, one, (Side("a", "base"), Side("a", "t")))

    assert row.case == "t against base ×1 cpu"
    assert row.comparison.word == "faster"
    assert row.comparison.ratio.n == 10


def test_an_unpaired_interval_is_welchs() -> None:
    draw = random.Random(1)
    value, base = ({block: draw.gauss(100, 3) for block in range(8)} for _ in range(2))
    pair = rules.Pair(value, base, 0.0, paired=False)
    shuffled = rules.Pair(dict(zip(value, reversed(value.values()), strict=True)), base, 0.0, paired=False)

    assert pair.ratio == shuffled.ratio
    assert pair.ratio is not None
    assert pair.ratio.low is not None
    assert pair.ratio.low < 1 < (pair.ratio.high or 0)
    assert pair.p() > 0.05


def test_memory_that_another_kernel_keeps_to_itself_is_no_other_machine() -> None:
    sizes = (25_276_063_744, 25_276_510_208, 33_000_000_000)
    first, second, third = (compare.hardware({"memory_bytes": size}) for size in sizes)

    assert first == second != third


def test_what_differs_is_hard_or_soft() -> None:
    first = question("a", 1, 1, options={"width": 1})
    second = question("b", 1, 1, options={"width": 2})
    second.run["machine"] = json.dumps({**MACHINE, "cpu": "y", "kernel": "6.2"})
    found = compare.differences(first, second, ({"t": {"torch 1"}}, {"t": {"torch 2"}}))

    assert [one.what for one in found if one.hard] == ["work: options", "machine: cpu"]
    assert {one.what for one in found if not one.hard} == {"commit", "machine: kernel", "packages of t"}


def test_a_run_is_named_by_its_beginning() -> None:
    assert compare.side("2026:ray", ["20260101T1", "20250101T1"]) == Side("20260101T1", "ray")
    with pytest.raises(UsageError, match="begins 2 runs"):
        compare.side("20", ["20260101T1", "20250101T1"])
    with pytest.raises(UsageError, match="is no run"):
        compare.side("3", ["20260101T1"])


def test_without_a_noise_floor_on_both_sides_there_is_no_verdict() -> None:
    first, second = question("a", 1.0, 1), question("b", 0.5, 50)
    second = dataclasses.replace(second, cases=[one for one in second.cases if not one.control])
    found = {row.case: row.comparison.word for row in compare.trained(first, second, SIDES)}

    assert set(found.values()) == {"no verdict"}


def test_the_command_writes_a_page_and_refuses_what_has_nothing_in_common(
    rows: dict[str, dict[str, Any]], assay: Assay, checkout: Path
) -> None:
    run = rows["single_process"]["run"]
    done = assay("compare", f"{run}:single_process", f"{run}:sleeps")

    assert done.returncode == 0, done.stderr
    assert "sleeps against single_process ×1 cpu" in done.stdout
    assert "no verdict" in done.stdout
    assert (checkout / "reports/compare/index.html").exists()
    done = assay("compare", str(run), str(run))
    assert done.returncode == 2
    assert "RUN:TOOL" in done.stderr


def asked(states: list[str], value: float) -> tuple[Question, Case]:
    findings = [json.dumps([{"name": "tune", "state": state, "said": "", "value": value}]) for state in states]
    rows = [{"outcome": "ok", "codes": None, "block": block, "findings": found} for block, found in enumerate(findings)]
    one = dataclasses.replace(question("a", 1, 1), text={"capability": "probe"})
    return one, Case("t", "t", "cpu", 1, False, rows)


def test_what_was_found_is_compared_and_so_is_its_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    before, same, flipped = (
        asked(["passed"] * 7, 1.6),
        asked(["passed"] * 7, 1.6),
        asked(["passed"] * 6 + ["none"], 1.0),
    )
    counts, again, other = (reproduce.counts_of(None, *one)["tune"] for one in (before, same, flipped))
    (metric, values), (_, fallen) = (next(iter(reproduce.figures_of(None, *one).items())) for one in (before, flipped))

    assert reproduce.same("tune", counts, again)
    assert not reproduce.same("tune", counts, other)
    assert not reproduce.same("tune", counts, None)
    assert "recorded passed 7 of 7\n  now      passed 6 of 7; none 1 of 7: they differ" in capsys.readouterr().out
    right, mixed, wrong = (collections.Counter(one) for one in ("oo", "oot", "t"))
    assert reproduce.same(reproduce.OUTCOMES, mixed, right)
    assert not reproduce.same(reproduce.OUTCOMES, right, mixed)
    assert not reproduce.same(reproduce.OUTCOMES, right, wrong)
    assert reproduce.verdict(metric, values, values)
    assert not reproduce.verdict(metric, values, fallen)


def test_a_stored_case_is_measured_again_with_its_packages(
    rows: dict[str, dict[str, Any]], assay: Assay, checkout: Path
) -> None:
    assert rows["single_process"]["outcome"] == "ok"
    done = assay("reproduce", "one/single_process/cpu/1")

    assert done.returncode == 0, done.stderr
    assert "too few blocks to say whether they agree" in done.stdout
    assert "trials, every answer checked\n  recorded ok 1 of 1\n  now      ok 1 of 1: they agree" in done.stdout
    assert (checkout / ".assay/reproduce/tools/single_process.py").read_text().count("==") > 5
    done = assay("reproduce", "one/nobody/cpu/1")
    assert done.returncode == 2
    assert "one/single_process/cpu/1" in done.stderr
