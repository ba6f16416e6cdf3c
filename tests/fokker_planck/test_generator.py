"""The Fokker–Planck reference: what it conserves, what it must tend to, and equations with a known
solution."""

import numpy as np
import pytest

from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.generator import Array, FokkerPlanck
from sgdtheory.landscapes.double_well import DoubleWell

WELL = DoubleWell().fokker_planck(0.1)
TICKS = [1, 3, 10, 30, 100, 300, 1000, 3000]


def bowl(x: Array) -> Array:
    found: Array = x * x / 2
    return found


def test_no_mass_is_lost() -> None:
    assert np.abs(np.asarray(WELL.generator.sum(0))).max() < 1e-12 * abs(WELL.generator).max()
    p = WELL.at(WELL.uniform(-1.5, -0.5), TICKS, 0.02)
    assert np.abs(p.sum(1) - 1).max() < 1e-10 and p.min() >= 0


def test_detailed_balance() -> None:
    flows = WELL.generator.toarray() * WELL.steady  # i ← j
    assert np.abs(flows - flows.T).max() < 1e-12 * np.abs(flows).max()
    assert np.abs(WELL.generator @ WELL.steady).max() < 1e-12 * np.abs(flows).max()


def test_the_free_energy_is_the_divergence() -> None:
    """F − F∞ = D·KL to 1e-12, both falling at every look; F of one well alone is higher by D·log 2
    and more."""
    p = WELL.at(WELL.uniform(-1.5, -0.5), TICKS, 0.02)
    above = WELL.free_energy(p) - WELL.free_energy(WELL.steady)
    assert np.abs(above - WELL.diffusion * WELL.divergence(p)).max() < 1e-12
    assert (np.diff(above) < 0).all() and WELL.divergence(p)[0] > np.log(2)


def test_two_halves_of_the_time_are_the_whole() -> None:
    start = WELL.uniform(-1.5, -0.5)
    half, whole = WELL.at(start, [500, 1000], 0.02)
    assert np.abs(WELL.at(half, [500], 0.02)[0] - whole).max() < 1e-13
    assert np.abs(WELL.at(start, [1], 20.0)[0] - whole).max() < 1e-12


def test_in_a_bowl_the_moments_are_ornstein_and_uhlenbecks() -> None:
    """Mean m·e^{−t}, variance D + (v − D)e^{−2t}; Scharfetter and Gummel's error is of second order
    in the width."""
    errors = []
    for cells in (200, 400):
        line = FokkerPlanck(bowl, -4.0, 4.0, 0.2, cells)
        x = (line.edges[1:] + line.edges[:-1]) / 2
        start = line.uniform(0.5, 1.5)
        p = line.at(start, [1, 2], 0.5)
        decay = np.exp(-np.array([0.5, 1.0]))
        means, squares = p @ x, p @ x**2
        exact = 0.2 + (1 / 12 + line.width**2 * 0 - 0.2) * decay**2
        errors.append([np.abs(means - decay).max(), np.abs(squares - means**2 - exact).max()])
    assert max(errors[1]) < 3e-4
    assert np.all(np.array(errors[0]) / np.maximum(errors[1], 1e-9) > 3)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.2])
def test_mean_first_passage_is_the_integral(temperature: float) -> None:
    """Second order in the width: 16 times nearer with four times the cells, and 1e-4 with 400."""
    well = DoubleWell()
    exact = well.mean_first_passage(temperature)
    off = [
        well.fokker_planck(temperature, cells).mean_first_passage(-1.0, 1.0) / exact - 1
        for cells in (400, 1600)
    ]
    assert abs(off[0]) < 2e-4 and off[0] / off[1] == pytest.approx(16, rel=0.1)


def test_mistakes() -> None:
    with pytest.raises(UserError, match="upwards"):
        WELL.mean_first_passage(1.0, -1.0)
    with pytest.raises(UserError, match="not inside"):
        WELL.uniform(-9.0, 0.0)
    with pytest.raises(UserError, match="diffusion"):
        FokkerPlanck(bowl, -1.0, 1.0, 0.0)
