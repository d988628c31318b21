"""The noise gate decides by limits, each with its value."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from assay import machine
from assay.errors import UsageError
from assay.machine import Calibration, Probe

QUIET = Probe(wall_ns=25e6, wall_cv=0.01, cpu_share=1.0, steal_s=5.0, pressure_us=1, load=0.1, running=1, at_s=0.0)
AFTER = dataclasses.replace(QUIET, at_s=10.0)


def test_a_quiet_machine_passes() -> None:
    assert machine.noise(QUIET, AFTER, Calibration()) == []


def test_each_limit_is_told_with_its_value() -> None:
    loud = dataclasses.replace(AFTER, wall_ns=30e6, wall_cv=0.2, cpu_share=0.5, steal_s=15.0)
    found = " ".join(machine.noise(QUIET, loud, Calibration()))

    assert all(word in found for word in ("CPU/wall 0.500", "CV 0.200", "drift 0.200", "steal"))


def test_a_trial_waits_for_a_quiet_machine_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROBE_PAUSE_S", 0.01)
    loud = dataclasses.replace(QUIET, cpu_share=0.5)
    seen = iter([loud, loud, QUIET, AFTER])

    assert machine.settled(Calibration(), take=lambda: next(seen)) == QUIET
    assert machine.settled(Calibration(), wait_s=0.05, take=lambda: loud) == loud


def test_limits_are_twice_what_the_idle_machine_showed_and_at_least_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "noise.json"
    path.write_text(json.dumps({"wall_cv": 0.08, "drift": 0.01}))

    assert Calibration.load(path) == Calibration(0.16, 0.06, measured=True)
    assert Calibration.load(tmp_path / "none.json") == Calibration()


def test_a_probe_and_the_facts_of_this_machine_can_be_read() -> None:
    assert 0 < machine.probe().cpu_share <= 1.1
    facts = machine.facts()
    assert facts["memory_bytes"] > 0
    json.dumps(facts)


def test_the_users_own_limits_go_before_what_was_measured(tmp_path: Path) -> None:
    own = tmp_path / "noise.toml"
    own.write_text("cpu_share = 0.8\nsteal = 0.05\n")
    limits = Calibration.load(tmp_path / "none.json", own)
    busy = dataclasses.replace(QUIET, cpu_share=0.9)

    assert (limits.cpu_share, limits.steal, limits.wall_cv) == (0.8, 0.05, machine.DEFAULT_WALL_CV)
    assert machine.noise(busy, busy, limits) == []
    assert machine.noise(busy, busy, Calibration()) != []


def test_a_limit_that_is_none_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "noise.toml"
    own.write_text("loudness = 3\n")

    with pytest.raises(UsageError, match=r"noise\.toml: loudness: the limits are numbers named wall_cv"):
        Calibration.load(tmp_path / "none.json", own)


def test_what_a_run_can_resolve_is_the_half_width_of_its_interval() -> None:
    # k = 0.925 at seven blocks (M22).
    assert machine.resolvable(0.04, 7) == pytest.approx(0.0377, abs=2e-4)
