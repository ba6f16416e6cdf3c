"""Minima without gradient noise are told before any cloud is let go: by rounding, not by a number
of ours."""

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.landscapes.planted_regression import PlantedRegression
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.temperature.measured_minimum import reference_minimum_at, reference_of_adam
from sgdtheory.temperature.reference_minimum import ReferenceMinimum


class Growing:
    """½|θ|² with noise ½ξ|θ|² of a strength: C(θ) = strength²·θθᵀ vanishes where the gradient
    does."""

    dim = 2

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def init(self, points: int, source: torch.Generator) -> Cloud:
        return torch.randn(points, 2, generator=source)

    def sample(self, points: int, size: int, source: torch.Generator) -> Tensor:
        return self.strength / size**0.5 * torch.randn(points, generator=source)

    def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
        whole = 0.5 * cloud.square().sum(1)
        return whole if batch is None else whole * (1 + batch.to(cloud))


def ground(landscape: Landscape, theta: Tensor) -> ReferenceMinimum:
    return reference_minimum_at(landscape, theta.double(), 0, 8)


@pytest.mark.parametrize("place", [0.0, 1e-80, 1e-17, 1e-6])
@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_noise_that_vanishes_at_the_minimum(place: float, strength: float) -> None:
    with pytest.raises(UserError, match="Growing has no gradient noise at its minimum"):
        ground(Growing(strength), torch.full((2,), place))


def test_noise_however_small_is_noise() -> None:
    """Tr C = 2c beside (8ε)²(|∇L|² + 2c) at a random point, about 1e-30."""
    for noise in (1.0, 1e-10, 1e-26):
        bowl = Quadratic((4.0, 1.0), noise=noise)
        assert ground(bowl, bowl.minima()[0]).noise_trace == pytest.approx(2 * noise)
    silent = Quadratic((4.0, 1.0), noise=1e-36)
    with pytest.raises(UserError, match="no temperature can be measured"):
        ground(silent, silent.minima()[0])


def test_examples_that_are_fitted_to_rounding() -> None:
    """Labels without noise: every example has the same minimum."""
    noisy = PlantedRegression(digits(limit=200), label_noise=0.01)
    assert ground(noisy, noisy.minima()[0]).noise_trace > 0
    fitted = PlantedRegression(digits(limit=200))
    with pytest.raises(UserError, match="has no gradient noise at its minimum"):
        ground(fitted, fitted.minima()[0])


def test_adam_has_no_noise_either() -> None:
    """Nor coordinates in which it would be SGD; told by the landscape's own name."""
    with pytest.raises(UserError, match="Growing has no gradient noise at its minimum"):
        reference_of_adam(Growing(0.0), torch.zeros(2).double(), 0, 8)
