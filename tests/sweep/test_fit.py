"""The power law through a sweep, against numbers made to order."""

from typing import Any

import numpy as np
import pytest

from sgdtheory.statistics.power_law import Fit, Point, Scatter, fit_power_law, scatter
from sgdtheory.temperature.claims import claims_of, points_of


def points(slope: float, prefactor: float, error: float, seed: int, count: int = 16) -> list[Point]:
    generator = np.random.default_rng(seed)
    x = np.geomspace(0.001, 0.1, count)
    t = prefactor * x**slope * np.exp(error * generator.standard_normal(count))
    return [Point(a, b, b * error) for a, b in zip(x, t, strict=True)]


def test_an_exact_law_is_found_exactly() -> None:
    found = fit_power_law([Point(x, 0.5 * x**1.1, 0.01 * x) for x in (0.01, 0.02, 0.04, 0.08)])
    assert isinstance(found, Fit)
    assert found.slope == pytest.approx(1.1, abs=1e-12) and found.prefactor == pytest.approx(
        0.5, rel=1e-12
    )
    assert found.chi2_per_dof < 1e-20 and found.cells == 4


def test_its_errors_are_calibrated() -> None:
    fits = [fit_power_law(points(1.0, 0.5, 0.02, seed)) for seed in range(200)]
    z = [(fit.slope - 1) / fit.slope_stderr for fit in fits if isinstance(fit, Fit)]
    w = [(fit.prefactor - 0.5) / fit.prefactor_stderr for fit in fits if isinstance(fit, Fit)]
    assert (
        0.75 < np.std(z) < 1.1 and 0.75 < np.std(w) < 1.1
    )  # below 1: the factor √max(1, χ²) only widens
    assert 0.8 < np.mean([fit.chi2_per_dof for fit in fits if isinstance(fit, Fit)]) < 1.2


def test_cells_that_scatter_more_than_their_errors_widen_it() -> None:
    honest = fit_power_law(points(1.0, 0.5, 0.02, 0))
    proud = fit_power_law(
        [point._replace(stderr=point.stderr / 10) for point in points(1.0, 0.5, 0.02, 0)]
    )
    assert isinstance(honest, Fit) and isinstance(proud, Fit)
    assert proud.slope_stderr == pytest.approx(honest.slope_stderr, rel=0.3)


def test_too_few_cells_are_no_line() -> None:
    assert (
        fit_power_law(points(1.0, 0.5, 0.02, 0, count=2))
        == "2 cells are too few for a line: 3 are needed"
    )
    without = [Point(0.1, 0.05, 0.0), Point(0.2, -0.1, 0.01)]
    told = fit_power_law([*points(1.0, 0.5, 0.02, 0, count=2), *without])
    assert isinstance(told, str) and "2 more have no error or are not above 0" in told
    assert fit_power_law([Point(0.1, 0.05, 0.001)] * 3) == "all cells have the same η/b"


def test_scatter_at_equal_rate_over_batch() -> None:
    generator = np.random.default_rng(0)
    cells = [
        Point(x, 0.5 * x * (1 + 0.03 * generator.standard_normal()), 0.5 * x * 0.03)
        for x in (0.01, 0.02)
        for _ in range(200)
    ]
    found = scatter(cells)
    assert isinstance(found, Scatter)
    assert found.observed == pytest.approx(0.03, rel=0.1) and found.expected == pytest.approx(
        0.03, rel=0.1
    )
    assert scatter(points(1.0, 0.5, 0.02, 0)) == "no two cells have the same η/b"


def test_what_is_fitted_is_stationary_and_harmonic() -> None:
    def cell(stationary: bool, harmonic: bool, value: float | None = 0.05) -> dict[str, object]:
        found = {"value": value, "stderr": 0.001}
        return {
            "stationary": stationary,
            "harmonic": harmonic,
            "predicted": 0.05,
            "temperature": {"excess_loss": found},
        }

    cells = [cell(True, True), cell(True, False), cell(False, False, None)]
    assert (
        points_of(cells) == [Point(0.1, 0.05, 0.001)] and len(points_of(cells, harmonic=False)) == 2
    )


def test_a_sweep_without_the_headlines_estimator_says_so() -> None:
    (slope,) = [
        claim for claim in claims_of([cell(0.1, 8, "virial")], "a bowl") if claim.name == "slope"
    ]
    assert slope.statement.startswith(
        "T on a bowl: it is judged by excess_loss, which is not among the estimators"
    )
    assert slope.holds is None


def cell(rate: float, size: int, estimator: str) -> dict[str, Any]:
    law = rate / (2 * size)
    return {
        "minimum": 0, "learning_rate": rate, "batch_size": size, "momentum": 0.0, "sampling": "iid", "predicted": law,
        "stationary": True, "harmonic": True, "why": "", "noise_trace": 1.0, "noise_trace_at_minimum": 1.0,
        "temperature": {estimator: {"value": law, "stderr": law / 100}},
        "fluctuation_dissipation": {"value": 1.0, "stderr": 0.01},
    }  # fmt: skip
