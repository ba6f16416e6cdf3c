"""Every landscape of tests/cases.py keeps its promises; and the promises can be broken."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.landscapes.bent_valley import BentValley
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.muller_brown import MullerBrown
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.landscapes.ring import Ring
from tests.cases import NATIVE, ON_A_GRID, ROTATED, WIDE, WITH_BARRIER, Case
from tests.landscapes import contracts, minimax

every = pytest.mark.parametrize("case", NATIVE + ROTATED, ids=repr)
every_wide = pytest.mark.parametrize("case", NATIVE + ROTATED + WIDE, ids=repr)


@every_wide
def test_rows_are_independent(case: Case) -> None:
    contracts.rows_are_independent(case.landscape)


@every
def test_draws_are_unbiased(case: Case) -> None:
    contracts.draws_are_unbiased(case.landscape)
    contracts.batches_of_rows_differ(case.landscape)


@every
def test_derivatives_agree_with_the_twin(case: Case) -> None:
    contracts.derivatives_agree(case.landscape, case.twin)
    contracts.derivatives_agree(case.landscape)


@every
def test_precision_follows_the_cloud(case: Case) -> None:
    contracts.precision_follows_the_cloud(case.landscape)


@every_wide
def test_stationary_points(case: Case) -> None:
    contracts.minima_are_minima(case.landscape)
    contracts.saddles_are_saddles(case.landscape)
    expected = torch.tensor(case.losses_at_minima, dtype=torch.float64)
    torch.testing.assert_close(
        case.landscape.losses(case.landscape.minima()), expected, rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("case", ON_A_GRID, ids=repr)
def test_barrier_by_flooding(case: Case) -> None:
    barrier_is_flooded(case.landscape)
    assert case.landscape.barrier() == pytest.approx(case.barrier, abs=1e-8)


@pytest.mark.parametrize("case", WITH_BARRIER, ids=repr)
def test_barrier_and_length_by_string(case: Case) -> None:
    """The path's highest point within 1 % of the straight line's above the barrier; its length
    within 1 %.

    On a connected sheet of minima nothing draws the string tight: there the stated length is a
    lower bound.
    """
    landscape = case.landscape
    ends = landscape.minima()[:2]
    top, ratio = minimax.by_string(landscape, ends)
    line = float(landscape.losses(minimax.spread(ends, 101)).max())
    first = float(landscape.losses(ends)[0])
    assert case.barrier is not None
    assert -1e-3 * (line - first) <= top - first - case.barrier <= 1e-2 * (line - first)
    if case.length_ratio is not None:
        assert landscape.length_ratio() == pytest.approx(case.length_ratio, abs=1e-12)
        assert ratio >= case.length_ratio * (1 - 1e-2)
        assert case.barrier == 0 or ratio <= case.length_ratio * (1 + 1e-2)


def barrier_is_flooded(landscape: Any, cells: int = 161) -> None:
    """The stated barrier, in native coordinates of at most two, within h·step²/2: twice the bound
    of by_flooding."""
    ends = landscape.minima()[:2]
    low, high = landscape.box()
    level, step = minimax.by_flooding(landscape, ends, low, high, cells)
    steepest = max(
        float(contracts.spectrum_if_stationary(landscape, theta).abs().max())
        for theta in torch.cat([landscape.minima(), landscape.saddles()])
    )
    found = level - float(landscape.losses(ends)[0])
    assert abs(found - landscape.barrier()) <= steepest * step**2 / 2, (
        f"barrier {found}, stated {landscape.barrier()}"
    )


@pytest.mark.parametrize(
    ("native", "turned"), list(zip(NATIVE + NATIVE, ROTATED + WIDE, strict=True)), ids=repr
)
def test_answers_do_not_depend_on_the_angle(native: Case, turned: Case) -> None:
    flat, landscape = native.landscape, turned.landscape
    x = contracts.start(flat, 6)
    theta = landscape.embed(x)
    torch.testing.assert_close(landscape.native(theta), x, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cdist(theta, theta), torch.cdist(x, x), rtol=0, atol=1e-6)
    torch.testing.assert_close(landscape.losses(theta), flat.losses(x), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(
        landscape.native(landscape.minima()), flat.minima(), rtol=0, atol=1e-12
    )
    frame = landscape.frame
    noise = landscape.noise_covariance(theta[:1])[0]
    torch.testing.assert_close(
        frame @ noise @ frame.T, flat.noise_covariance(x[:1])[0], rtol=0, atol=1e-12
    )


def test_the_frame_is_orthonormal_and_differs_by_seed() -> None:
    frames = [MullerBrown(ambient=50, rotation_seed=seed).frame for seed in (0, 1)]
    torch.testing.assert_close(
        frames[0] @ frames[0].T, torch.eye(2, dtype=torch.float64), rtol=0, atol=1e-13
    )
    assert (frames[0] - frames[1]).abs().max() > 0.1


def test_constants_kept_from_a_transform_serve_the_next_call() -> None:
    """The first call on a landscape may stand inside inference mode or torch.func; later ones still
    differentiate."""
    theta = torch.ones(1, 20, dtype=torch.float64)
    for first in ("inference", "functorch"):
        landscape = MullerBrown(ambient=20)
        if first == "inference":
            with torch.inference_mode():
                landscape.losses(theta)
        else:
            torch.func.hessian(lambda point, here=landscape: here.losses(point[None])[0])(theta[0])
        contracts.derivatives_agree(landscape)


# The promises broken: each contract must complain.


@dataclass(frozen=True)
class WrongConstant(MullerBrown):
    def energy(self, x: Tensor) -> Tensor:  # A_2 = −99.999
        return super().energy(x) + 1e-3 * torch.exp(
            -x[:, 0].square() - 10 * (x[:, 1] - 0.5).square()
        )


@dataclass(frozen=True)
class WrongBarrier(BentValley):
    def barrier(self) -> float:
        return 1.05 * self.height


@dataclass(frozen=True)
class WrongSaddle(Ring):
    def native_saddles(self) -> Tensor:
        return torch.zeros(1, 2, dtype=torch.float64)  # a maximum


@dataclass(frozen=True)
class WrongNoise(Quadratic):
    def noise_covariance(self, cloud: Tensor) -> Tensor:
        return 1.2 * super().noise_covariance(cloud)


@dataclass(frozen=True)
class Mixed(DoubleWell):
    def energy(self, x: Tensor) -> Tensor:
        return super().energy(x - x.mean(0))  # as batch statistics over the rows would


@dataclass(frozen=True)
class Biased(DoubleWell):
    def losses(self, cloud: Tensor, batch: Tensor | None = None) -> Tensor:
        return super().losses(cloud, None if batch is None else batch + 0.1)


def test_a_wrong_constant_is_seen() -> None:
    with pytest.raises(AssertionError, match="∇L"):
        contracts.minima_are_minima(WrongConstant())
    with pytest.raises(AssertionError):
        contracts.derivatives_agree(WrongConstant(), NATIVE[-1].twin)


def test_a_wrong_barrier_is_seen() -> None:
    with pytest.raises(AssertionError, match="barrier"):
        barrier_is_flooded(WrongBarrier())


def test_a_wrong_saddle_is_seen() -> None:
    with pytest.raises(AssertionError, match="2 directions down"):
        contracts.saddles_are_saddles(WrongSaddle())


def test_wrong_noise_is_seen() -> None:
    with pytest.raises(AssertionError, match="noise_covariance"):
        contracts.draws_are_unbiased(WrongNoise(directions=3))
    with pytest.raises(AssertionError, match="biased"):
        contracts.draws_are_unbiased(Biased())


def test_rows_that_mix_are_seen() -> None:
    with pytest.raises(AssertionError):
        contracts.rows_are_independent(Mixed())
    contracts.rows_are_independent(DoubleWell())
