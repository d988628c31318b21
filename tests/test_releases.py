"""Days of release: found by halving, kept in a file, asked once."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from assay import releases
from assay.errors import UsageError

TODAY = datetime.date(2026, 11, 26)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An index with two versions; what it was asked for."""
    days = {"one==1.0": datetime.date(2019, 2, 28), "two==2.0": TODAY, "always==4.0": datetime.date.min}
    asked: list[str] = []

    def found(version: str, day: datetime.date) -> bool:
        asked.append(version)
        return version in days and day >= days[version]

    monkeypatch.setattr(releases, "found", found)
    return asked


def test_the_day_of_a_release_is_found_and_asked_for_once(tmp_path: Path, index: list[str]) -> None:
    said: list[str] = []
    releases.renew(tmp_path, ["two==2.0", "one==1.0", "none==3.0", "always==4.0"], TODAY, said.append)

    # What is there on every day comes from a place that keeps no days, such as a folder of wheels.
    assert said == [
        "always==4.0: the index does not tell",
        "none==3.0: the index does not tell",
        "one==1.0: 2019-02-28",
        "two==2.0: 2026-11-26",
    ]
    assert releases.load(tmp_path) == {"one==1.0": datetime.date(2019, 2, 28), "two==2.0": TODAY}
    assert len(index) < 60  # a halving, and no walk over days

    index.clear()
    releases.renew(tmp_path, ["one==1.0"], TODAY, said.append)
    assert index == []


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert releases.load(tmp_path) == {}


@pytest.mark.parametrize(("text", "said"), [('"one==1.0" = "soon"', "one==1.0 is no date"), ("one==", "releases.toml")])
def test_a_broken_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / releases.NAME).write_text(text)

    with pytest.raises(UsageError, match=said):
        releases.load(tmp_path)
