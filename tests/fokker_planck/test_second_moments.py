"""Second moments of SGD on linear regression against every mini-batch there is, and exponents against closed forms."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.fokker_planck.second_moments import (
    collapse_of,
    collapse_threshold,
    lyapunov_exponent,
    resting_covariance,
    second_moment_map,
    top_mode,
)
from sgdtheory.landscapes.planted_regression import PlantedRegression
from sgdtheory.rng import stream

INPUTS = torch.randn(5, 3, generator=stream(0, "inputs"), dtype=torch.float64)


def every_batch(inputs: Tensor, size: int) -> list[np.ndarray]:
    """H_B of all N^b mini-batches of b i.i.d. draws, equally likely."""
    x = inputs.numpy()
    chosen = product(range(len(x)), repeat=size)
    return [x[list(rows)].T @ x[list(rows)] / size for rows in chosen]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_map_is_the_mean_over_all_mini_batches(size: int) -> None:
    rate = 0.3
    sigma = np.array([[2.0, 0.3, -0.1], [0.3, 1.0, 0.2], [-0.1, 0.2, 0.5]])
    steps = [np.eye(3) - rate * hessian for hessian in every_batch(INPUTS, size)]
    exact = np.mean([step @ sigma @ step.T for step in steps], axis=0)
    mapped = second_moment_map(INPUTS, rate, size)
    found = (mapped @ torch.from_numpy(sigma).flatten()).view(3, 3).numpy()
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    assert torch.equal(mapped, mapped.T)
    mean = np.eye(3) - rate * (INPUTS.T @ INPUTS / 5).numpy()  # of gradient descent
    assert np.abs(mean @ sigma @ mean - exact).max() > 1e-3


@pytest.mark.parametrize("size", [1, 4])
def test_at_the_threshold_the_radius_is_one(size: int) -> None:
    """From below 1 to above 1, found once more by bisection of the radius of all eigenvalues; below gradient descent's 2/h."""
    threshold = collapse_threshold(INPUTS, size)

    def radius(rate: float) -> float:
        eigenvalues = np.linalg.eigvals(second_moment_map(INPUTS, rate, size).numpy())
        return float(np.abs(eigenvalues).max())

    low, high = 1e-3, 2 / float(torch.linalg.eigvalsh(INPUTS.T @ INPUTS / 5)[-1])
    assert radius(low) < 1 < radius(high)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if radius(middle) < 1 else (low, middle)
    assert threshold == pytest.approx(low, rel=1e-9)
    top = top_mode(second_moment_map(INPUTS, threshold, size))
    assert top.radius == pytest.approx(1) and float(torch.linalg.eigvalsh(top.mode)[0]) > -1e-12


def test_at_rest_it_is_the_fixed_point() -> None:
    """The same as linear regression's own, which iterates in H's eigenbasis; and none above the threshold."""
    landscape = PlantedRegression(digits(), 6, label_noise=1.0)
    noise = landscape.noise_covariance(landscape.minima())[0]
    threshold = collapse_threshold(landscape.inputs, 2)
    found = resting_covariance(landscape.inputs, noise, 0.5 * threshold, 2)
    assert found is not None
    exact = landscape.stationary_covariance(0.5 * threshold, 2)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-12)
    fixed = 0.5 * threshold / 4 * noise  # ηC/2b, without what the distance adds
    assert float((found - fixed).norm()) > 0.1 * float(found.norm())
    assert resting_covariance(landscape.inputs, noise, 1.01 * threshold, 2) is None


def test_the_exponent() -> None:
    """E log|sξ| = log s − (γ + log 2)/2; small steps are Itô's a − s²/2; and by 400,000 draws, within 4 errors."""
    assert lyapunov_exponent(-1.0, 0.7) == pytest.approx(
        np.log(0.7) - (np.euler_gamma + np.log(2)) / 2, abs=1e-9
    )
    drift, spread = 1e-3, 0.05
    small = lyapunov_exponent(drift, spread)
    assert small == pytest.approx(drift - spread**2 / 2, rel=0.03)
    assert small < 0 < drift  # Stratonovich's has the other sign
    draws = torch.randn(400_000, generator=stream(0, "xi"), dtype=torch.float64)
    logs = (1.05 - 0.9 * draws).abs().log()
    error = float(logs.std()) / 400_000**0.5
    assert abs(float(logs.mean()) - lyapunov_exponent(0.05, 0.9)) < 4 * error


def test_where_it_collapses() -> None:
    spread = collapse_of(0.05)
    assert lyapunov_exponent(0.05, 0.99 * spread) > 0 > lyapunov_exponent(0.05, 1.01 * spread)
    assert collapse_of(1e-4) ** 2 / 2e-4 == pytest.approx(1, rel=1e-3) and collapse_of(-0.1) == 0
