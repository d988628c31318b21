"""Fits of known truth, and none where the rules allow none."""

from __future__ import annotations

import numpy
import pytest

from assay import scaling

SIGMA, KAPPA = 0.05, 0.002


def points(counts: list[int], noise: float = 0.0, kappa: float = KAPPA, seed: int = 0) -> dict[int, float]:
    draw = numpy.random.default_rng(seed)
    values = scaling.usl(numpy.array(counts, float), 1.0, SIGMA, kappa)
    return dict(zip(counts, values * numpy.exp(noise * draw.standard_normal(len(counts))), strict=True))


def test_m64_six_points_give_the_usl_back() -> None:
    found = scaling.fit(points([1, 2, 4, 6, 8, 12, 16]), cores=16)

    assert found is not None
    assert (found.model, found.largest) == ("USL", 16)
    assert found.sigma[0] == pytest.approx(SIGMA, abs=1e-4)
    assert found.kappa[0] == pytest.approx(KAPPA, abs=1e-5)
    assert found.at(32) == pytest.approx(float(scaling.usl(numpy.array([32.0]), 1.0, SIGMA, KAPPA)[0]), rel=1e-3)


def test_m64_the_interval_holds_the_truth_under_noise() -> None:
    held = 0
    for seed in range(40):
        found = scaling.fit(points([1, 2, 3, 4, 6, 8, 12, 16], noise=0.03, seed=seed), cores=16)
        assert found is not None
        held += found.sigma[1] <= SIGMA <= found.sigma[2]

    assert held >= 34


def test_m64_four_points_give_amdahl_and_fewer_nothing() -> None:
    found = scaling.fit(points([1, 2, 4, 8], kappa=0.0), cores=8)

    assert found is not None
    assert (found.model, found.kappa) == ("Amdahl", (0.0, 0.0, 0.0))
    assert found.sigma[0] == pytest.approx(SIGMA, abs=1e-4)
    assert scaling.fit(points([1, 2, 4]), cores=8) is None


def test_m63_what_is_beyond_the_cores_enters_no_fit() -> None:
    assert scaling.fit(points([1, 2, 4, 8, 16, 32]), cores=4) is None
