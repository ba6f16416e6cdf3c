"""The stochastic area: of linear systems against Lyapunov's equation, and of clouds that a force
turns."""

from math import pi

import numpy as np
import pytest
import torch
from scipy.integrate import dblquad
from scipy.linalg import solve_discrete_lyapunov
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.area import area_rate, largest_plane, swept
from sgdtheory.fokker_planck.rotation import Rotation
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.limit_cycle import LimitCycle
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.landscapes.ring import Ring
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.trends import sigmas

SKEW = Quadratic((1.0, 0.3, 0.1), noise_anisotropy=30.0)


def test_the_area_of_a_triangle() -> None:
    """Twice the area between the origin and the step, whether θ is taken before the step or after
    it."""
    before, step = torch.tensor([[3.0, 1.0]]), torch.tensor([[-1.0, 2.0]])
    for theta in (before, before + step):
        state = SGDState(1, theta, -step / 0.5)
        assert swept(state, 0.5, torch.eye(2), torch.zeros(2)).item() == 3 * 2 - 1 * -1
        assert swept(state, 0.5, torch.eye(2).flip(0), torch.zeros(2)).item() == -7
        assert swept(state, 0.5, torch.eye(2), theta[0]).item() == 0


@pytest.mark.parametrize("ambient", [None, 5])
def test_a_linear_system(ambient: int | None) -> None:
    """E[θΔθᵀ − Δθθᵀ], Δθ = −η(Hθ + ξ), from scipy's covariance, to 1e-12."""
    landscape = Quadratic((1.0, 0.3, 0.1), noise_anisotropy=30.0, ambient=ambient, stiffness=0.7)
    n, rate, size = landscape.dim, 0.5, 4
    eye = torch.eye(n, dtype=torch.float64)
    zero = torch.zeros(n, n, dtype=torch.float64)
    hessian = value_and_grad(landscape, eye)[1]
    noise = landscape.noise_covariance(zero[:1])[0]
    step = (eye - rate * hessian).numpy()
    covariance = solve_discrete_lyapunov(step, rate**2 / size * noise.numpy())
    moves = covariance @ (-rate * hessian.numpy()).T
    assert np.abs(landscape.stationary_area(rate, size).numpy() - (moves - moves.T)).max() < 1e-12


def test_no_current_where_noise_and_curvature_commute() -> None:
    assert float(Quadratic((1.0, 0.3, 0.1)).stationary_area(0.5, 4).abs().max()) == 0
    assert float(SKEW.stationary_area(0.5, 4).abs().max()) > 1e-3


def test_the_largest_plane() -> None:
    areas = SKEW.stationary_area(0.5, 4)
    u, v = largest_plane(areas)
    assert float(u @ areas @ v) == pytest.approx(float(torch.linalg.matrix_norm(areas, 2)))
    assert torch.allclose(
        torch.stack([u @ u, v @ v, u @ v]),
        torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64),
        atol=1e-12,
    )


def test_of_linear_regression() -> None:
    """Against the sum over examples of one step's second moments."""
    landscape = LinearRegression(digits())
    rate, size = 0.02, 8
    covariance = landscape.stationary_covariance(rate, size)
    moves = (
        -rate
        * covariance
        @ (
            landscape.inputs.T @ landscape.inputs / landscape.count
            + 0.01 * torch.eye(landscape.dim)
        )
    )
    found = landscape.stationary_area(rate, size)
    assert float((found - (moves - moves.T)).norm() / found.norm()) < 1e-10
    torch.testing.assert_close(found, -found.T)


# what turns a cloud


def forces(coupling: Rotation | LimitCycle, landscape: Ring | DoubleWell, cloud: Tensor) -> Tensor:
    losses, gradients = value_and_grad(landscape, cloud)
    return -coupling.force(cloud, losses, gradients)


def divergence_of_current(coupling: Rotation | LimitCycle, landscape: Ring | DoubleWell) -> float:
    """max |∇·(ρ·(force + ∇L))|/max ρ for ρ = e^{−L}, by automatic differentiation: zero where
    e^{−L} stays."""
    cloud = torch.randn(50, 2, generator=stream(0, "points"), dtype=torch.float64)

    def current(theta: Tensor) -> Tensor:
        _, gradients = value_and_grad(landscape, theta.detach()[None])
        turned = -coupling.force(theta[None], torch.zeros(1), torch.zeros_like(theta)[None])[0]
        assert gradients.shape == (1, 2)
        return torch.exp(-landscape.losses(theta[None])[0]) * turned

    jacobians = torch.stack([torch.autograd.functional.jacobian(current, theta) for theta in cloud])
    return float(jacobians.diagonal(dim1=1, dim2=2).sum(1).abs().max())


LEVEL, WELLS = Ring(wall=0.25, height=0.0), DoubleWell(directions=2)


def test_the_density_stays_as_it_is() -> None:
    assert divergence_of_current(Rotation(0.7), LEVEL) < 1e-14
    assert divergence_of_current(LimitCycle(0.7), WELLS) < 1e-14
    assert divergence_of_current(Rotation(0.7), WELLS) > 0.1  # not any rotation on any landscape


def test_the_forces() -> None:
    """A curl that the landscape has not: −∇L + w·Jθ, and λ·e^{Φ − r⁴/4}·Jθ."""
    cloud = torch.tensor([[0.5, -1.5], [1.0, 2.0]], dtype=torch.float64)
    turned = torch.stack([-cloud[:, 1], cloud[:, 0]], 1)
    _, down = value_and_grad(LEVEL, cloud)
    torch.testing.assert_close(forces(Rotation(0.3), LEVEL, cloud), -down + 0.3 * turned)
    energy, down = value_and_grad(WELLS, cloud)
    lift = torch.exp(energy - cloud.square().sum(1).square() / 4)[:, None]
    torch.testing.assert_close(forces(LimitCycle(0.3), WELLS, cloud), -down + 0.3 * lift * turned)
    beyond = Rotation(1.0).force(torch.ones(1, 4), torch.zeros(1), torch.zeros(1, 4))
    assert beyond.tolist() == [[1.0, -1.0, 0.0, 0.0]]


def test_the_rates() -> None:
    """2πλ/Z with Z = 7.6235 and w⟨r²⟩, by quadrature."""
    wells = DoubleWell(directions=2, noise=1.0)
    found = LimitCycle(0.5).area_rate(wells, 1.0)
    assert found == pytest.approx(pi / 7.623468, rel=1e-6)
    with pytest.raises(UserError, match="directions=2"):
        LimitCycle(0.5).area_rate(wells, 0.5)
    d = 0.1

    def weight(r: float) -> float:
        return r * float(np.exp(-((r * r - 1) ** 2) / 4 / d))

    top, bottom = (dblquad(lambda y, r, k=k: r**k * weight(r), 0, 4, 0, 1)[0] for k in (2, 0))
    assert Rotation(0.2).area_rate(Ring(wall=0.25, height=0.0, noise=2.0), d / 2) == pytest.approx(
        0.2 * top / bottom, rel=1e-8
    )
    with pytest.raises(UserError, match="level ring"):
        Ring().mean_square_radius(0.1)


def seen_area(
    coupling: Rotation | LimitCycle, landscape: Ring | DoubleWell, steps: int, points: int
) -> Measured:
    sgd, burn_in = SGD(steps, 1, 0.02, Constant()), steps // 5
    areas = torch.zeros(points, dtype=torch.float64)
    start = landscape.init(points, stream(2, "init")).float()
    for state in sgd.run(landscape, start, 3, coupling):
        if state.step > burn_in:
            areas += swept(state, 0.02, torch.eye(2), torch.zeros(2))
    return area_rate(areas, (steps - burn_in) * 0.02)


def test_it_is_seen_and_its_absence_too() -> None:
    """Ring, w = .1 and 0: within 4 errors of w⟨r²⟩, more than 10 from zero; within 4 of zero."""
    ring = Ring(wall=0.25, height=0.0, noise=10.0)
    turning, still = (seen_area(Rotation(w), ring, 500, 4000) for w in (0.1, 0.0))
    assert turning.value is not None and turning.stderr is not None
    assert abs(turning.value - Rotation(0.1).area_rate(ring, 0.01)) < 4 * turning.stderr
    assert sigmas(turning) > 10 and abs(sigmas(still)) < 4
    assert (
        abs(turning.value - Rotation(0.2).area_rate(ring, 0.01)) > 10 * turning.stderr
    )  # a factor 2 would be seen


def test_points_that_are_lost_are_left_out() -> None:
    found = area_rate(torch.tensor([1.0, 3.0, torch.nan]), 2.0)
    assert found.value == 1.0 and found.stderr == pytest.approx(0.5)
    assert area_rate(torch.tensor([torch.nan]), 2.0).value is None
    assert sigmas(Measured.nothing("gone")) == 0
