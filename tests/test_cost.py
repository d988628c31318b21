"""Prices are the user's own and dated, and a cost is an interval."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay import cost
from assay.errors import UsageError
from assay.statistics import Estimate

PRICES = 'date = 2026-11-01\ncurrency = "EUR"\nsource = "our contract"\n[per_hour]\ncpu = 0.36\n'


def test_a_million_samples_by_hand() -> None:
    # 0.36 an hour are 0.0001 a second; a million samples at 100 a second take 10,000 seconds.
    found = cost.per_million(Estimate(100.0, 80.0, 125.0, 7), 0.36)

    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high) == (pytest.approx(0.8), pytest.approx(1.25))


def test_the_file_is_optional_and_checked(tmp_path: Path) -> None:
    place = tmp_path / "prices.toml"
    assert cost.load(place) is None
    place.write_text(PRICES)
    loaded = cost.load(place)
    assert loaded is not None
    assert (str(loaded.date), loaded.per_hour) == ("2026-11-01", {"cpu": 0.36})
    place.write_text(PRICES.replace("0.36", "-1").replace('"EUR"', "1"))

    with pytest.raises(UsageError, match=r"(?s)currency: .*per_hour\.cpu"):
        cost.load(place)
