"""The noise gate decides by limits, each with its value."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from assay import machine
from assay.machine import Calibration, Probe

QUIET = Probe(wall_ns=25e6, wall_cv=0.01, cpu_share=1.0, steal_s=5.0, pressure_us=1, load=0.1, at_s=0.0)
AFTER = dataclasses.replace(QUIET, at_s=10.0)


def test_a_quiet_machine_passes() -> None:
    assert machine.noise(QUIET, AFTER, Calibration()) == []


def test_each_limit_is_told_with_its_value() -> None:
    loud = dataclasses.replace(AFTER, wall_ns=30e6, wall_cv=0.2, cpu_share=0.5, steal_s=15.0)
    found = " ".join(machine.noise(QUIET, loud, Calibration()))

    assert all(word in found for word in ("CPU/wall 0.500", "CV 0.200", "drift 0.200", "steal"))


def test_limits_are_twice_what_the_idle_machine_showed_and_at_least_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    path.write_text(json.dumps({"wall_cv": 0.08, "drift": 0.01}))

    assert Calibration.load(path) == Calibration(0.16, 0.06, True)
    assert Calibration.load(tmp_path / "none.json") == Calibration()


def test_a_probe_and_the_facts_of_this_machine_can_be_read() -> None:
    assert 0 < machine.probe().cpu_share <= 1.1
    facts = machine.facts()
    assert facts["memory_bytes"] > 0
    json.dumps(facts)
