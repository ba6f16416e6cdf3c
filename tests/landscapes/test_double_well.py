"""Escape from the double well, against a chain of jumps that has the same generator, and against
limits."""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_banded
from scipy.special import iv

from sgdtheory.errors import UserError
from sgdtheory.landscapes.double_well import DoubleWell


def first_passage_by_jumps(height: float, diffusion: float, cells: int) -> float:
    """Mean time from −1 to 1 of the chain x ± d with rates D/d²·e^{∓ΔV/2D}, whose limit d → 0 is
    the diffusion.

    (rate up)(u₊ − u) + (rate down)(u₋ − u) = −1, reflected at x = −2.5, u(1) = 0. Error of order
    d².
    """
    step = 1.0 / cells
    x = np.arange(-2.5, 1.0 + step / 2, step)
    v = height * (x**2 - 1) ** 2 / diffusion
    up = diffusion / step**2 * np.exp(-np.diff(v) / 2)  # x_i → x_{i+1}
    down = diffusion / step**2 * np.exp(np.diff(v) / 2)  # x_{i+1} → x_i
    n = len(x) - 1  # the last is absorbing
    bands = np.zeros((3, n))
    bands[0, 1:] = up[: n - 1]
    bands[1] = -up - np.concatenate([[0], down[: n - 1]])
    bands[2, :-1] = down[: n - 1]
    times = solve_banded((1, 1), bands, -np.ones(n))
    return float(times[int(np.argmin(np.abs(x + 1)))])


@pytest.mark.parametrize(
    ("height", "temperature", "noise"), [(0.25, 0.05, 1.0), (0.25, 0.2, 1.0), (1.0, 0.1, 2.0)]
)
def test_mean_first_passage(height: float, temperature: float, noise: float) -> None:
    coarse, fine = (
        first_passage_by_jumps(height, temperature * noise, cells) for cells in (400, 800)
    )
    expected = (4 * fine - coarse) / 3  # Richardson: d⁴ is left
    found = DoubleWell(height=height, noise=noise).mean_first_passage(temperature)
    assert found == pytest.approx(expected, rel=1e-6)
    assert found != pytest.approx(
        DoubleWell(height=1.01 * height, noise=noise).mean_first_passage(temperature), rel=1e-3
    )


def test_kramers_is_the_cold_limit() -> None:
    """rate × exact time → 1, the rest falling as (3/8)·T/height."""
    well = DoubleWell()
    rests = [well.kramers_rate(t) * well.mean_first_passage(t) - 1 for t in (0.01, 0.005, 0.0025)]
    assert rests[0] / rests[1] == pytest.approx(2, rel=0.1)
    assert rests[1] / rests[2] == pytest.approx(2, rel=0.05)
    assert rests[2] / (0.0025 / 0.25) == pytest.approx(3 / 8, rel=0.02)
    assert well.kramers_rate(0.05) == pytest.approx(0.9003 * 0.25 * np.exp(-5), rel=1e-4)


def test_only_noise_times_temperature_counts() -> None:
    hot, loud = DoubleWell(noise=1.0), DoubleWell(noise=4.0, ambient=9)
    assert hot.mean_first_passage(0.08) == pytest.approx(loud.mean_first_passage(0.02), rel=1e-9)
    assert hot.kramers_rate(0.08) == pytest.approx(loud.kramers_rate(0.02))


@pytest.mark.parametrize("temperature", [0.01, 0.1, 3.0])
def test_stationary_density(temperature: float) -> None:
    """Z = (π/2)·e^{−β/2}(I_{1/4}(β/2) + I_{−1/4}(β/2)), β = height/D; and the density sums to one."""
    well = DoubleWell(height=0.4)
    beta = 0.4 / temperature
    partition = np.pi / 2 * np.exp(-beta / 2) * (iv(0.25, beta / 2) + iv(-0.25, beta / 2))
    x = torch.linspace(-5, 5, 20001, dtype=torch.float64)
    density = well.stationary_density(x, temperature)
    assert float(density.max()) == pytest.approx(1 / partition, rel=1e-6)
    assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-9)


def test_mistakes() -> None:
    with pytest.raises(UserError, match="upwards"):
        DoubleWell().mean_first_passage(0.1, 1.0, -1.0)
    with pytest.raises(UserError, match="nothing escapes"):
        DoubleWell(noise=0.0).kramers_rate(0.1)
