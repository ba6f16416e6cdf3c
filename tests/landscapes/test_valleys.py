"""What the valleys say of themselves beyond the contracts: the lowest path itself, and the line
that symmetry holds."""

from math import pi
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.landscapes.bent_valley import BentValley
from sgdtheory.landscapes.linear_net import LinearNet
from sgdtheory.landscapes.muller_brown import MullerBrown
from sgdtheory.landscapes.ring import Ring
from sgdtheory.protocol import value_and_grad

ANGLES = torch.linspace(0, pi, 201, dtype=torch.float64)


def length_over_chord(path: Tensor) -> float:
    return float((path[1:] - path[:-1]).norm(dim=1).sum() / (path[-1] - path[0]).norm())


def test_the_ring_is_lowest_on_each_ray() -> None:
    ring = Ring(wall=1.0, height=0.4)
    rays = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
    on_ring = ring.losses(rays)
    torch.testing.assert_close(on_ring, 0.4 * ANGLES.sin() ** 2, rtol=0, atol=1e-14)
    for radius in (0.0, 0.5, 0.9, 0.999, 1.001, 1.3, 2.0):
        assert (ring.losses(radius * rays) > on_ring).all()
    assert length_over_chord(rays) == pytest.approx(ring.length_ratio(), rel=1e-4)
    assert float(ring.losses(torch.zeros(1, 2))) == 1.0


def test_turning_both_layers_keeps_the_loss_zero() -> None:
    net = LinearNet(width=3, ambient=12)
    turn = torch.zeros(len(ANGLES), 6, dtype=torch.float64)
    turn[:, 0] = turn[:, 3] = ANGLES.cos()
    turn[:, 1] = turn[:, 4] = ANGLES.sin()
    path = net.embed(turn)
    torch.testing.assert_close(path[[0, -1]], net.minima(), rtol=0, atol=1e-14)
    assert net.losses(path).max() < 1e-28
    assert length_over_chord(path) == pytest.approx(net.length_ratio(), rel=1e-4)


@pytest.mark.parametrize(
    ("landscape", "top"), [(Ring(), 1.0), (LinearNet(2), 0.5), (LinearNet(1), 0.5)]
)
def test_the_straight_line_is_held_by_symmetry(landscape: Any, top: float) -> None:
    """The force on it lies along it, so an unbent string would stay on its top."""
    first, last = landscape.minima()
    line = torch.lerp(first, last, torch.linspace(0, 1, 101, dtype=torch.float64)[:, None])
    losses, gradients = value_and_grad(landscape, line)
    tangent = (last - first) / (last - first).norm()
    across = gradients - (gradients @ tangent)[:, None] * tangent
    assert across.abs().max() < 1e-14
    assert float(losses.max()) == pytest.approx(top)


def test_the_straight_line_over_the_bend_climbs_the_wall() -> None:
    valley = BentValley(wall=3.0, height=0.2, bend=0.5)
    middle = valley.minima().mean(0, keepdim=True)
    assert float(valley.losses(middle)) == pytest.approx(0.2 + 3.0 * 0.5**2)


def test_muller_brown_against_the_published_numbers() -> None:
    surface = MullerBrown()
    minima = surface.losses(surface.minima()).tolist()
    saddles = surface.losses(surface.saddles()).tolist()
    assert minima == pytest.approx([-146.69952, -108.16672, -80.76782], abs=5e-6)
    assert saddles == pytest.approx([-40.66484, -72.24894], abs=5e-6)
    assert minima == sorted(minima)
    assert surface.barrier() == pytest.approx(106.0347, abs=5e-5)


def test_a_ring_lower_than_its_hill_is_refused() -> None:
    with pytest.raises(UserError, match="lower it"):
        Ring(wall=0.2, height=0.2)
