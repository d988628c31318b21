"""Energy is counted or unavailable, never guessed."""

from __future__ import annotations

from pathlib import Path

from assay import energy
from assay.energy import Reading


def package(folder: Path, name: str, microjoules: int) -> None:
    place = folder / name
    place.mkdir(exist_ok=True)
    (place / "name").write_text("psys\n" if name.endswith("9") else "package-0\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    (place / "max_energy_range_uj").write_text("1000000000\n")


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0", "intel-rapl:9"):
        package(tmp_path, name, 1_000_000)
    before = energy.read(tmp_path)
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0", "intel-rapl:9"):
        package(tmp_path, name, 3_500_000)
    found = energy.fields(before, energy.read(tmp_path), 1.0)

    assert (found["cpu_energy_j"], found["cpu_energy_method"]) == (5.0, "RAPL, 2 packages")
    assert found["gpu_energy_j"] is None


def test_a_counter_that_began_anew(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 999_000_000)
    before = energy.read(tmp_path)
    package(tmp_path, "intel-rapl:0", 4_000_000)

    assert energy.fields(before, energy.read(tmp_path), 1.0)["cpu_energy_j"] == 5.0


def test_without_counters_it_is_unavailable_and_no_zero(tmp_path: Path) -> None:
    found = energy.fields(energy.read(tmp_path), energy.read(tmp_path), 1.0)

    assert found["cpu_energy_j"] is None
    assert found["cpu_energy_method"] == "unavailable: no readable RAPL counter"


def test_one_unreadable_package_leaves_no_partial_total(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 1)
    (tmp_path / "intel-rapl:1").mkdir()

    assert energy.read(tmp_path) == Reading({}, {}, {})


def test_a_trial_longer_than_the_counters_range_has_no_figure(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 1)
    before = energy.read(tmp_path)
    found = energy.fields(before, energy.read(tmp_path), seconds=1000.0)

    assert (found["cpu_energy_j"], found["cpu_energy_method"]) == (None, energy.LONG)
