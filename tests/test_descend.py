"""Polishing: the bottom is reached, and to the last digits that float64 has."""

from functools import partial

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.linear import Linear
from sgdtheory.models.resnet import ResNet
from sgdtheory.optim.descent import FLOOR, full_batch, lbfgs, newton
from sgdtheory.products import top_curvature
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.runs import interrupt
from tests.cases import NATIVE, Case


@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case.name)
def test_lbfgs_ends_at_a_stationary_point(case: Case) -> None:
    landscape: Landscape = case.landscape
    cloud = landscape.minima().double() + 0.05  # type: ignore[attr-defined]
    gradients = value_and_grad(landscape, lbfgs(landscape, cloud, 300))[1]
    assert gradients.norm(dim=1).max() < 1e-8


def test_newton_keeps_only_steps_that_help() -> None:
    bowl = Quadratic(curvatures=(1.0, 100.0))
    at = newton(bowl, torch.tensor([3.0, -2.0], dtype=torch.float64), steps=1)
    assert at.norm() < 1e-8  # one step on a quadratic


@pytest.mark.parametrize("size", [1e3, 1.0, 1e-70, 1e-150, 1e-300])
@pytest.mark.parametrize("curvatures", [(1.0,), (1.0, 100.0), (1e-6, 1.0, 1e6)], ids=str)
def test_a_minimum_at_0_is_found_without_leaving_the_normal_numbers(
    size: float, curvatures: tuple[float, ...]
) -> None:
    """Nothing rounds there, so the search would end where 1/(s·y) overflows (a RuntimeWarning, an
    error in tests)."""
    bowl = Quadratic(curvatures=curvatures)
    for seed in range(5):
        start = size * torch.randn(
            1, len(curvatures), generator=stream(seed, "start"), dtype=torch.float64
        )
        found = lbfgs(bowl, start, 400)
        assert value_and_grad(bowl, found)[1].abs().max() <= FLOOR


def test_full_batch_descent_is_stable_and_goes_down() -> None:
    network = Network(Linear, digits(), weight_decay=1e-2)
    start = network.init(1, stream(0, "init"))
    before = value_and_grad(network, start)
    *_, state = full_batch(network, start, 300, 0).run(network, start, 0)
    after = value_and_grad(network, state.cloud)
    assert after[0] < before[0]
    assert after[1].norm() < 0.02 * before[1].norm()


def test_the_top_curvature_is_the_largest_eigenvalue() -> None:
    bowl = Quadratic(curvatures=(0.5, 3.0, 7.0))
    found = top_curvature(bowl, torch.zeros(3, dtype=torch.float64), stream(0))
    assert found == pytest.approx(7.0, rel=1e-3)


def test_a_signal_is_heard_in_the_midst_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In L-BFGS, in Newton's steps, and while a set is scored; no step of SGD is lost in any of
    them."""
    network = Network(partial(ResNet, depth=8, width=4), digits())
    cloud = network.init(1, stream(0, "init"))
    bowl = Quadratic()
    monkeypatch.setattr(interrupt._Stop, "requested", True)
    for work in (
        lambda: lbfgs(bowl, bowl.minima(), 5),
        lambda: newton(bowl, bowl.minima()[0]),
        lambda: network.score(cloud, "test"),
        lambda: network.statistics(cloud[0]),
    ):
        with pytest.raises(interrupt.Interrupted):
            work()
