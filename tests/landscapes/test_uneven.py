"""A landscape whose noise depends on the place: its covariance, and the modes of its steady state."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.grid import Array, GridFokkerPlanck
from sgdtheory.landscapes.uneven import Uneven
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream
from tests.landscapes import contracts

LINE = Uneven((1.3,), tilt=0.4, growth=0.3, level=0.8, noise=2.0)
WELLS = Uneven((-1.0,), quartic=1.0, tilt=0.3)
PLANE = Uneven((0.9, 1.2), tilt=-0.2, growth=0.1, steer=0.5)
ALL = [LINE, WELLS, PLANE]


def twin(landscape: Uneven):  # type: ignore[no-untyped-def]
    def loss(x: Tensor) -> Tensor:
        bowl = sum(0.5 * h * x[i] ** 2 for i, h in enumerate(landscape.curvatures))
        return bowl + landscape.quartic * x[-1] ** 4 / 4

    return loss


@pytest.mark.parametrize("landscape", ALL)
def test_it_keeps_the_promises_of_a_landscape(landscape: Uneven) -> None:
    contracts.rows_are_independent(landscape)
    contracts.draws_are_unbiased(landscape)
    contracts.batches_of_rows_differ(landscape)
    contracts.derivatives_agree(landscape, twin(landscape))
    contracts.precision_follows_the_cloud(landscape)
    contracts.minima_are_minima(landscape)


@pytest.mark.parametrize("landscape", ALL)
@pytest.mark.parametrize("at", [-0.7, 0.4])
def test_the_covariance_is_that_of_its_gradients(landscape: Uneven, at: float) -> None:
    """Of 40,000 mini-batches of 4: every element within 4.5 errors, the trace is not that at 0."""
    point = torch.full((1, landscape.dim), at, dtype=torch.float64)
    cloud = point.repeat(40_000, 1)
    _, gradients = value_and_grad(landscape, cloud, landscape.sample(40_000, 4, stream(0, "b")))
    _, whole = value_and_grad(landscape, point)
    away = gradients - whole
    products = 4 * away[:, :, None] * away[:, None, :]
    error = products.std(0) / 200
    exact = landscape.noise_covariance(point)[0]
    assert bool(((products.mean(0) - exact).abs() < 4.5 * error).all())
    assert float((landscape.noise_covariance(0 * point)[0] - exact).abs().max()) > 10 * error.max()


def peak(landscape: Uneven, temperature: float, near: float) -> float:
    """Where the equation's density is highest along the last axis, by a parabola through log ρ."""

    def energy(points: Array) -> Array:
        energies: Array = landscape.losses(torch.from_numpy(points)).numpy()
        return energies

    def noise(points: Array) -> Array:
        covariance = landscape.noise_covariance(torch.from_numpy(points))
        axes: Array = covariance.diagonal(dim1=1, dim2=2).numpy()
        return axes

    reach = 8 * temperature**0.5
    centre = np.zeros(landscape.dim)
    centre[-1] = near
    low, high = tuple(centre - reach), tuple(centre + reach)
    grid = GridFokkerPlanck(energy, noise, low, high, temperature, 161)
    shares = grid.steady.reshape(grid.shape)
    along = np.log(shares[80] if landscape.dim == 2 else shares)
    u = (
        grid.centres.reshape(*grid.shape, -1)[80, :, -1]
        if landscape.dim == 2
        else grid.centres[:, 0]
    )
    k = int(along.argmax())
    rise, fall = along[k + 1] - along[k - 1], along[k + 1] - 2 * along[k] + along[k - 1]
    return float(u[k] - rise / fall / 2 * (u[1] - u[0]))


@pytest.mark.parametrize(("landscape", "which"), [(LINE, 0), (WELLS, 1), (PLANE, 0)])
def test_the_modes_are_right_to_first_order(landscape: Uneven, which: int) -> None:
    """The rest is of second order in T: a quarter at half the temperature, and a few per cent of the shift.

    In a plane −T·C_u′/h_u alone, without what the other axis does, would be wrong by its own size.
    """
    minimum = float(landscape.minima()[which, -1])
    rests = []
    for temperature in (0.004, 0.002):
        predicted = float(landscape.modes(temperature)[which, -1])
        shift = predicted - minimum
        rests.append(peak(landscape, temperature, minimum) - predicted)
        assert abs(rests[-1]) < 0.05 * abs(shift)
    assert abs(rests[1]) < 0.35 * abs(rests[0]) + 1e-5
    if landscape.plane:
        own = -0.002 * float(2 * landscape.tilt * landscape.level / landscape.curvatures[-1])
        assert abs(predicted - minimum - own) > 0.5 * abs(shift)


def test_what_it_cannot_be() -> None:
    for wrong in ({"ambient": 5}, {"curvatures": (1.0, 1.0, 1.0)}, {"steer": 0.1}):
        with pytest.raises(UserError, match="Uneven"):
            Uneven(**wrong)  # type: ignore[arg-type]
    assert Uneven((-1.0,)).minima().shape == (0, 1)
