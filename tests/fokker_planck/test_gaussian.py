"""SGD's covariance, potential and free energy on a quadratic, against scipy's solvers and exact divergences."""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov
from torch import Tensor

from sgdtheory.fokker_planck.gaussian import (
    cosine,
    free_energy,
    lyapunov,
    potential_of,
    without_steps,
)
from sgdtheory.rng import stream


def positive(name: str, n: int = 4) -> Tensor:
    root = torch.randn(n, n, generator=stream(0, name), dtype=torch.float64)
    return root @ root.T / n + 0.2 * torch.eye(n, dtype=torch.float64)


H, C = positive("hessian"), positive("noise")


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_the_covariance_is_the_fixed_point_of_the_steps(rate: float) -> None:
    step = np.eye(4) - rate * H.numpy()
    exact = solve_discrete_lyapunov(step, rate**2 / 8 * C.numpy())
    np.testing.assert_allclose(lyapunov(H, C, rate, 8).numpy(), exact, rtol=1e-10)
    residual = H @ torch.from_numpy(exact) + torch.from_numpy(exact) @ H
    assert float((residual - rate / 8 * C).norm()) > 1e-3 * rate  # the finite step is not nothing


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_without_its_steps_it_is_that_of_continuous_time(rate: float) -> None:
    """HΣ + ΣH = 2T·C with T = η/2b, not η/b: half of it."""
    found = without_steps(H, lyapunov(H, C, rate, 8), rate)
    exact = solve_continuous_lyapunov(H.numpy(), 2 * (rate / 16) * C.numpy())
    np.testing.assert_allclose(found.numpy(), exact, rtol=1e-10)
    potential = potential_of(found, rate / 16)
    same = potential_of(without_steps(H, lyapunov(H, C, 0.1, 1), 0.1), 0.05)
    torch.testing.assert_close(potential, same)  # no η and no b in it
    assert float(cosine(potential, H)) < 0.98


def test_with_even_noise_the_potential_is_the_loss() -> None:
    even = 1.7 * torch.eye(4, dtype=torch.float64)
    found = potential_of(without_steps(H, lyapunov(H, even, 0.2, 2), 0.2), 0.05)
    torch.testing.assert_close(found, H / 1.7)
    assert float(cosine(found, H)) == pytest.approx(1)


def test_the_free_energy_is_a_divergence_and_unbiased() -> None:
    """F/T less that of the steady state is KL to it: mean over 400 clouds of 30 points within 4 errors.

    Without the bias of log det, or that of the mean, it would be 13 errors off.
    """
    temperature, points = 0.05, 30
    steady = lyapunov(H, C, 0.01, 1)
    potential = potential_of(steady, temperature)
    cloud, mean = 0.6 * steady, torch.full((4,), 0.05, dtype=torch.float64)
    inverse = torch.linalg.inv(steady)
    shift = float(mean @ inverse @ mean)
    exact = 0.5 * (0.6 * 4 + shift - 4 - 4 * np.log(0.6))
    rest = 0.5 * (4 - float(torch.logdet(steady)) - 4 * (1 + np.log(2 * np.pi)))
    draws = torch.randn(400, points, 4, generator=stream(1, "cloud"), dtype=torch.float64)
    samples = mean + draws @ torch.linalg.cholesky(cloud).T
    means = samples.mean(1)
    away = samples - means[:, None]
    covariances = away.mT @ away / (points - 1)
    found = free_energy(potential, covariances, means, temperature, points)
    divergences = (found.free / temperature - rest).numpy()
    error = divergences.std(ddof=1) / 20
    assert abs(divergences.mean() - exact) < 4 * error
    raw = -0.5 * torch.logdet(covariances).mean() + 0.5 * torch.logdet(cloud)
    assert float(raw) > 10 * error  # what is subtracted
