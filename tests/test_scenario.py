"""A scenario file is checked whole: every fault in one message, each with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay import scenario
from assay.errors import ScenarioError
from tests.conftest import ROOT

WORKLOADS = ROOT / "benchmarks/workloads"

GOOD = """\
title = "A"
question = "B?"
capability = "train"
workload = "digits-mlp"
batch = 8
optimizer = { lr = 0.1 }
[matrix]
tools = ["torch_ddp"]
workers = [1, 2]
[measure]
timeout = "90s"
"""


def load(tmp_path: Path, text: str) -> scenario.Scenario:
    path = tmp_path / "one.toml"
    path.write_text(text)
    return scenario.load(path, WORKLOADS)


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    one = load(tmp_path, GOOD)

    assert (one.name, one.measure.timeout, one.measure.blocks, one.optimizer.momentum) == ("one", 90.0, 7, 0.0)
    assert one.global_batch(2) == 8


def test_weak_scaling_grows_the_global_batch(tmp_path: Path) -> None:
    one = load(tmp_path, GOOD.replace("batch = 8", "batch_per_worker = 8"))

    assert [one.global_batch(workers) for workers in (1, 2)] == [8, 16]


def test_all_faults_are_listed_at_once_with_line_and_key(tmp_path: Path) -> None:
    broken = (
        GOOD.replace('timeout = "90s"', "timeout = 90\nbloks = 3")
        .replace("batch = 8", "batch = 0")
        .replace('"digits-mlp"', '"digit"')
        .replace("lr = 0.1", "lr = -1")
    )
    with pytest.raises(ScenarioError) as caught:
        load(tmp_path, broken)
    message = str(caught.value)

    assert len(message.splitlines()) == 5
    assert "one.toml:11: measure.timeout: write a duration with its unit" in message
    assert "one.toml:12: measure.bloks: Extra inputs are not permitted" in message
    assert "one.toml:5: batch" in message
    assert "one.toml:4: workload: 'digit' is none of delay, digits-mlp, table, transformer" in message
    assert "optimizer.lr" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[matrix]", "[matrix", "not TOML"),
        ("batch = 8", "batch = 7", "cannot be split among 2 workers"),
        ("batch = 8", "batch = 8\nbatch_per_worker = 4", "only one"),
        ("batch = 8\n", "", "only one"),
        ("[matrix]", "options = { depht = 3 }\n[matrix]", "has no such option; it has width, depth"),
        ("[matrix]", 'options = { depth = "3" }\n[matrix]', "expected a value like 3"),
        ("[measure]", '[measure]\ncontrol = "ray"', "the twin needs its original"),
        ("workers = [1, 2]", "workers = [1, 1]", "names a value twice"),
        ("workers = [1, 2]", "workers = [0]", "greater than 0"),
        ('title = "A"', "", "Field required"),
        ('title = "A"', 'title = "A"\nname = "x"', "taken from the file"),
        ("[matrix]", 'subjects = ["tune"]\n[matrix]', "subjects: belongs to capability probe"),
        ("[matrix]", "quality = { target = 0.9, steps = 5, every = 10 }\n[matrix]", "never be evaluated"),
    ],
)
def test_each_fault_has_its_message(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ScenarioError, match=message):
        load(tmp_path, GOOD.replace(old, new))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match=r"two.toml: cannot be read"):
        scenario.load(path, WORKLOADS)


def test_the_committed_scenarios_are_sound_and_their_schema_current() -> None:
    for path in scenario.find(ROOT / "scenarios").values():
        scenario.load(path, WORKLOADS)
    stored = json.loads((ROOT / "scenarios/scenario.schema.json").read_text())

    assert stored == scenario.json_schema(), "run: assay schema > scenarios/scenario.schema.json"
