"""The Fokker–Planck equation with uneven noise: exact on a line, by quadrature, in closed moments of a plane."""

import numpy as np
import pytest
from scipy.integrate import quad

from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.grid import Array, GridFokkerPlanck

T = 0.1


def bowl(points: Array) -> Array:
    return 0.5 * np.square(points).sum(1)


def rough(points: Array) -> Array:
    """C = 1 + c·x², an even noise."""
    return 1 + 0.8 * points**2


def tilted(points: Array) -> Array:
    return (1 + 0.5 * points) ** 2


def line(noise, cells: int, reach: float = 1.8) -> GridFokkerPlanck:  # type: ignore[no-untyped-def]
    return GridFokkerPlanck(bowl, noise, (-reach,), (reach,), T, cells)


def exact_of(noise, x: Array) -> Array:  # type: ignore[no-untyped-def]
    """C⁻¹exp(−∫L′/(T·C)), the integral by adaptive quadrature, as shares."""

    def force(y: float) -> float:
        return y / (T * float(noise(np.array([[y]]))[0, 0]))

    potential = np.array([quad(force, 0, y)[0] for y in x])
    weights = np.exp(-potential) / noise(x[:, None])[:, 0]
    return weights / weights.sum()


@pytest.mark.parametrize("noise", [rough, tilted])
def test_on_a_line_it_is_the_closed_form(noise) -> None:  # type: ignore[no-untyped-def]
    """Of second order in the width of a cell: four times nearer with twice the cells."""
    apart = []
    for cells in (100, 200):
        grid = line(noise, cells)
        exact = exact_of(noise, grid.centres[:, 0])
        apart.append(np.abs(grid.steady - exact).max() / exact.max())
    assert apart[1] < 1e-3 and apart[0] / apart[1] == pytest.approx(4, rel=0.1)


def test_it_is_ito_and_not_stratonovich() -> None:
    """C^(−½) in place of C⁻¹ is a per cent of the density away, the equation 1e-5."""
    grid = line(tilted, 200)
    x = grid.centres[:, 0]
    ito = exact_of(tilted, x)
    stratonovich = ito * np.sqrt(tilted(x[:, None])[:, 0])
    stratonovich /= stratonovich.sum()
    assert np.abs(grid.steady - ito).sum() < 1e-3
    assert np.abs(grid.steady - stratonovich).sum() > 0.05


def test_with_even_noise_it_is_gibbs() -> None:
    def wavy(points: Array) -> Array:
        ripple: Array = 0.1 * np.cos(3 * points[:, 0] + points[:, 1])
        return bowl(points) + ripple

    grid = GridFokkerPlanck(wavy, np.ones_like, (-1.5, -2.0), (1.5, 2.0), T, 40)
    np.testing.assert_allclose(grid.steady, grid.gibbs(T), rtol=0, atol=1e-13)
    assert np.abs(grid.steady - grid.gibbs(2 * T)).max() > 1e-4
    mean = float((grid.gibbs(0.17) * grid.potential).sum())
    assert grid.gibbs_of(mean) == pytest.approx(0.17, rel=1e-9)


def test_a_plane_of_two_lines_is_their_product() -> None:
    def both(points: Array) -> Array:
        return np.stack([rough(points)[:, 0], tilted(points)[:, 1]], 1)

    plane = GridFokkerPlanck(bowl, both, (-1.8, -1.8), (1.8, 1.8), T, 60)
    product = np.outer(line(rough, 60).steady, line(tilted, 60).steady).ravel()
    np.testing.assert_allclose(plane.steady, product, rtol=0, atol=1e-13)


def test_a_plane_without_detailed_balance_has_the_closed_moments() -> None:
    """C₁ = (1 + s·y)², C₂ = c: ⟨y²⟩ = Tc/h, ⟨x²⟩ = T(1 + s²⟨y²⟩)/k, ⟨x²y⟩ = 4Ts⟨y²⟩/(2k + h), for they are closed."""
    s, c, h, k = 0.5, 1.25, 0.7, 1.3

    def energy(points: Array) -> Array:
        energies: Array = 0.5 * (k * points[:, 0] ** 2 + h * points[:, 1] ** 2)
        return energies

    def noise(points: Array) -> Array:
        return np.stack([(1 + s * points[:, 1]) ** 2, np.full(len(points), c)], 1)

    apart = []
    for cells in (60, 120):
        grid = GridFokkerPlanck(energy, noise, (-2.4, -2.4), (2.4, 2.4), T, cells)
        x, y = grid.centres.T
        found = [float((grid.steady * z).sum()) for z in (y**2, x**2, x**2 * y, y)]
        square = T * c / h
        exact = [square, T * (1 + s**2 * square) / k, 4 * T * s * square / (2 * k + h), 0.0]
        apart.append(np.abs(np.subtract(found, exact)).max() / square)
    assert apart[1] < 3e-3 and apart[0] / apart[1] == pytest.approx(4, rel=0.2)


def test_mass_is_kept_and_bins_add_up() -> None:
    grid = GridFokkerPlanck(bowl, rough, (-1.0, -1.0), (1.0, 1.0), T, 12)
    assert np.abs(grid.generator.sum(0)).max() < 1e-10
    assert np.abs(grid.generator @ grid.steady).max() < 1e-10 * grid.generator.max()
    coarse = grid.binned(grid.steady, 4)
    assert coarse.shape == (16,) and coarse.sum() == pytest.approx(1)
    corner = grid.steady.reshape(12, 12)[:3, :3].sum()
    assert coarse[0] == pytest.approx(corner)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"cells": 1}, {"high": (-2.0,)}])
def test_no_box_no_equation(wrong: dict[str, float]) -> None:
    right = {"low": (-1.0,), "high": (1.0,), "temperature": T, "cells": 10}
    with pytest.raises(UserError, match="two cells or more"):
        GridFokkerPlanck(bowl, rough, **(right | wrong))  # type: ignore[arg-type]
