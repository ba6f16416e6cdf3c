"""The stationary covariance of SGD on a quadratic, against closed forms, a general solver, and
SGD's trace identity."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov

from sgdtheory.errors import UserError
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.protocol import hvp

H = (1.3, 0.4, 0.05)
NON_COMMUTING = [
    Quadratic(H, noise=2.0, noise_anisotropy=40.0),
    Quadratic(H, noise=0.5, noise_anisotropy=40.0, ambient=6, stiffness=0.7, rotation_seed=2),
]
RATES = list(product((1e-3, 0.1, 0.9, 1.5), (0.0, 0.5, 0.9)))  # η, μ; ηh_max up to 1.95


def matrices(landscape: Quadratic) -> tuple[np.ndarray, np.ndarray]:
    """H and C [n, n], from products and draws' covariance, not from the formula's own spectrum."""
    origin = torch.zeros(landscape.dim, landscape.dim, dtype=torch.float64)
    hessian = hvp(landscape, origin, torch.eye(landscape.dim, dtype=torch.float64))
    return hessian.numpy(), landscape.noise_covariance(origin[:1])[0].numpy()


@pytest.mark.parametrize(("eta", "mu"), RATES)
def test_commuting_modes(eta: float, mu: float) -> None:
    """Var = ηc/(2bh(1−μ)) / (1 − ηh/(2(1+μ))), and no correlation."""
    landscape, b = Quadratic(H, noise=0.7), 4
    h = torch.tensor(H, dtype=torch.float64)
    expected = eta * 0.7 / (2 * b * h * (1 - mu)) / (1 - eta * h / (2 * (1 + mu)))
    found = landscape.stationary_covariance(eta, b, mu)
    torch.testing.assert_close(found, expected.diag(), rtol=1e-10, atol=0)


@pytest.mark.parametrize("landscape", NON_COMMUTING)
@pytest.mark.parametrize(("eta", "mu"), RATES)
def test_general_solver(landscape: Quadratic, eta: float, mu: float) -> None:
    """Σ_aug = AΣ_augAᵀ + B(C/b)Bᵀ of the state (θ, v), solved as it stands."""
    hessian, noise = matrices(landscape)
    one, b = np.eye(landscape.dim), 3
    a = np.block([[one - eta * hessian, -eta * mu * one], [hessian, mu * one]])
    kick = np.vstack([-eta * one, one])
    expected = solve_discrete_lyapunov(a, kick @ noise @ kick.T / b)[
        : landscape.dim, : landscape.dim
    ]
    found = landscape.stationary_covariance(eta, b, mu).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("landscape", NON_COMMUTING)
@pytest.mark.parametrize(("eta", "mu"), RATES)
def test_trace_identity(landscape: Quadratic, eta: float, mu: float) -> None:
    """(Tr HΣ − η/(2(1+μ))·Tr H²Σ) / Tr C = η/2b(1−μ), H and C not commuting (science.md 3)."""
    hessian, noise = matrices(landscape)
    b = 5
    sigma = landscape.stationary_covariance(eta, b, mu).numpy()
    height = np.trace(hessian @ sigma) - eta / (2 * (1 + mu)) * np.trace(hessian @ hessian @ sigma)
    assert height / np.trace(noise) == pytest.approx(eta / (2 * b * (1 - mu)), rel=1e-10)


def test_hessian_and_noise_do_not_commute() -> None:
    for landscape in NON_COMMUTING:
        hessian, noise = matrices(landscape)
        assert np.abs(hessian @ noise - noise @ hessian).max() > 0.1
        native = landscape.native_dim
        assert np.trace(noise) == pytest.approx(landscape.noise * landscape.dim)
        eigenvalues = np.linalg.eigvalsh(
            landscape.frame.numpy() @ noise @ landscape.frame.numpy().T
        )
        assert len(eigenvalues) == native
        assert eigenvalues[-1] / eigenvalues[0] == pytest.approx(40.0)


def test_the_covariance_does_not_depend_on_the_angle() -> None:
    flat, turned = (
        Quadratic(H, noise_anisotropy=40.0),
        Quadratic(H, noise_anisotropy=40.0, ambient=9),
    )
    frame = turned.frame
    found = frame @ turned.stationary_covariance(0.3, 2, 0.5) @ frame.T
    torch.testing.assert_close(found, flat.stationary_covariance(0.3, 2, 0.5), rtol=0, atol=1e-13)


def test_spectrum() -> None:
    assert Quadratic(directions=3, condition=100.0).spectrum.tolist() == pytest.approx(
        [1.0, 0.1, 0.01]
    )
    assert Quadratic(directions=1).spectrum.tolist() == [1.0]
    assert Quadratic(directions=7, ambient=30).dim == 30


def test_mistakes_say_the_limit() -> None:
    landscape = Quadratic((4.0, 1.0))
    with pytest.raises(UserError, match=r"stay below .* = 0\.75"):
        landscape.stationary_covariance(0.75, 1, 0.5)
    landscape.stationary_covariance(0.7499, 1, 0.5)
    with pytest.raises(UserError, match="curvature 10"):  # a stiff complement counts
        Quadratic((4.0,), ambient=3, stiffness=10.0).stationary_covariance(0.3, 1)
    with pytest.raises(UserError, match="curvature 0"):
        Quadratic((1.0, 0.0)).stationary_covariance(0.1, 1)
    with pytest.raises(UserError, match="ambient=3 is too small"):
        Quadratic(directions=4, ambient=3)
    with pytest.raises(UserError, match="without directions"):
        Quadratic(())
