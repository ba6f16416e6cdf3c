"""The spiky bowl: its smoothing against an average over the Gaussian, its threshold against the
roots that it counts."""

from math import cos, pi, sin

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from sgdtheory.landscapes.spiky import LOWEST_SINC, Spiky
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(
    60
)  # ∫ f(ω) e^{−ω²/2} dω, exact for polynomials up to degree 119


@pytest.mark.parametrize("width", [0.05, 0.15, 0.3])
def test_smoothing_is_the_average_over_a_gaussian(width: float) -> None:
    """By Gauss–Hermite quadrature, whose remainder for cos(ksω), ks ≤ 3, is below 1e-12."""
    x = torch.linspace(-2.5, 2.5, 41, dtype=torch.float64)
    around = (x[:, None] + width * torch.from_numpy(NODES)).reshape(-1, 1)
    average = Spiky().losses(around).view(41, -1) @ torch.from_numpy(WEIGHTS / WEIGHTS.sum())
    smooth = Spiky().smoothed(width)
    torch.testing.assert_close(smooth.losses(x[:, None]), average, rtol=0, atol=1e-11)
    wrong = Spiky(smoothing=width / 2).losses(
        x[:, None]
    )  # as a factor forgotten in the exponent would be
    assert (wrong - average).abs().max() > 1e-2


def test_smoothing_in_many_directions_and_twice() -> None:
    """By 40,000 draws in R^5, within 5 standard errors; two Gaussians are one."""
    landscape = Spiky(directions=2, ambient=5, stiffness=3.0)
    theta = landscape.init(3, stream(0, "theta")).double()
    kicks = 0.2 * torch.randn(40_000, 5, generator=stream(0, "kicks"), dtype=torch.float64)
    smooth = landscape.smoothed(0.2).losses(theta)
    for point, expected in zip(theta, smooth, strict=True):
        drawn = landscape.losses(point + kicks)
        assert abs(drawn.mean() - expected) < 5 * drawn.std() / 200
    twice = landscape.smoothed(0.12).smoothed(0.16)
    torch.testing.assert_close(twice.losses(theta), smooth, rtol=1e-12, atol=0)


def test_the_constant_of_the_threshold() -> None:
    lowest = brentq(lambda u: sin(u) - u * cos(u), pi, 1.5 * pi, xtol=1e-14)
    assert pytest.approx(-sin(lowest) / lowest, abs=1e-15) == LOWEST_SINC


@pytest.mark.parametrize(("spikes", "frequency"), [(0.5, 10.0), (2.0, 3.0), (0.1, 40.0)])
def test_at_the_threshold_all_minima_but_the_centre_go(spikes: float, frequency: float) -> None:
    bare = Spiky(spikes=spikes, frequency=frequency)
    below, above = (bare.smoothed(share * bare.threshold()) for share in (0.999, 1.001))
    assert below.minima().shape == (3, 1) and above.minima().shape == (1, 1)
    x = torch.linspace(1e-3, 2 * float(bare.box().max()), 20_001, dtype=torch.float64)[:, None]
    assert (value_and_grad(above, x)[1] > 0).all() and (value_and_grad(below, x)[1] < 0).any()
    assert below.barrier() > 0 and above.barrier() == 0


def test_the_default_has_nine_minima_and_a_bowl_without_spikes_one() -> None:
    assert Spiky().threshold() == pytest.approx(0.184, abs=5e-4)
    minima = Spiky().minima()[:, 0]
    x = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    values = Spiky().losses(x[:, None])
    seen = x[1:-1][(values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])]
    torch.testing.assert_close(minima.sort().values, seen, rtol=0, atol=1e-4)  # the grid's spacing
    for flat in (Spiky(spikes=0.0), Spiky(frequency=2.0)):
        assert flat.minima().shape == (1, 1) and flat.threshold() == 0
