"""Sharpness against quadratics whose maximum over the box is known, its invariances, and a box that
is wrong."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.diagnostics import sharpness
from sgdtheory.diagnostics.sharpness import Sharpness
from sgdtheory.geometry.hessian import hessian
from sgdtheory.geometry.rescaling import rescaled
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.rng import stream

H = torch.tensor([0.1, 0.5, 1.0, 2.0, 9.0], dtype=torch.float64)
BOWL = Quadratic(curvatures=tuple(H.tolist()))
POINTS = torch.randn(4, 5, generator=stream(0, "points"), dtype=torch.float64)


def at_the_corner(theta: Tensor, epsilon: float) -> float:
    """½Σh_i(|θ_i| + ε(|θ_i| + 1))² is the maximum over the box, for every coordinate is on its own:
    away from 0."""
    before = 0.5 * (H * theta**2).sum()
    after = 0.5 * (H * (theta.abs() + epsilon * (theta.abs() + 1)) ** 2).sum()
    return float(100 * (after - before) / (1 + before))


@pytest.mark.parametrize("epsilon", [1e-3, 5e-4, 0.1])
def test_on_a_bowl_it_is_the_corner(epsilon: float) -> None:
    found = [row["sharpness"] for row in Sharpness(epsilon)(BOWL, POINTS)]
    assert [x.stderr for x in found] == [None] * 4
    assert [x.value for x in found] == pytest.approx(
        [at_the_corner(theta, epsilon) for theta in POINTS], rel=1e-9
    )


def test_at_the_very_bottom_too() -> None:
    (row,) = Sharpness()(BOWL, torch.zeros(1, 5, dtype=torch.float64))
    assert row["sharpness"].value == pytest.approx(
        at_the_corner(torch.zeros(5).double(), 1e-3), rel=1e-9
    )


@pytest.mark.parametrize("beside", [0.0, 1e-12, 1e-9])
def test_a_slope_that_rounding_hides_is_no_slope(beside: float) -> None:
    """A network of zeros has |∇L| = 10⁻¹⁶, so that no step from it is seen. The mean of the loss over
    all corners of the box is ½ε²Tr H above it: a bound from below."""
    net = Network(partial(MLP, hidden=(6,), activation="tanh"), digits(limit=200), 1e-3)
    theta = torch.full((1, net.dim), beside, dtype=torch.float64)
    found = Sharpness()(net, theta)[0]["sharpness"]
    loss = float(net.losses(theta))
    least = 100 * 0.5e-6 * float(hessian(net, theta[0]).trace()) / (1 + loss)
    assert found.value is not None and found.stderr is not None
    assert found.value > least > 0 and 0 < found.stderr < 0.3 * found.value


@dataclass(frozen=True)
class Sunk(Quadratic):
    """A quadratic with a constant taken off."""

    depth: float = 0.0

    def energy(self, x: Tensor) -> Tensor:
        return super().energy(x) - self.depth


@pytest.mark.parametrize("subspace", [None, 2])
def test_of_a_negative_loss_there_is_no_number(subspace: int | None) -> None:
    """At L = −3 it was −½ of the rise; at 0 less its rounding it is that of 0."""
    origin = torch.zeros(1, 5, dtype=torch.float64)
    for depth in (0.5, 1.0, 3.0):
        sunk = Sunk(curvatures=BOWL.curvatures, depth=depth)
        (row,) = Sharpness(subspace=subspace)(sunk, origin)
        found = row["sharpness"]
        assert found.value is None
        assert f"the loss is {-depth:.3g} here" in found.why and "\n" not in found.why
    rounded = Sunk(curvatures=BOWL.curvatures, depth=1e-15)
    (row,) = Sharpness(subspace=subspace)(rounded, origin)
    (zero,) = Sharpness(subspace=subspace)(BOWL, origin)
    assert row["sharpness"].value == pytest.approx(zero["sharpness"].value, rel=1e-9)


def test_the_corner_of_a_random_subspace() -> None:
    """p = 1: the box is an interval, and the maximum over it is at one of its two ends."""
    found = Sharpness(1e-2, subspace=1, draws=7)(BOWL, POINTS[:1])[0]["sharpness"]
    theta, rises = POINTS[0], []
    before = 0.5 * (H * theta**2).sum()
    for k in range(7):
        line = torch.randn(5, 1, generator=stream(0, "subspace", k)).double()[:, 0]
        half = 1e-2 * (abs(float(line @ theta / (line @ line))) + 1)
        after = max(float(0.5 * (H * (theta + side * half * line) ** 2).sum()) for side in (-1, 1))
        rises.append(float(100 * (after - before) / (1 + before)))
    draws = torch.tensor(rises, dtype=torch.float64)
    assert found.value == pytest.approx(float(draws.mean()), rel=1e-9)
    assert found.stderr == pytest.approx(float(draws.std() / 7**0.5), rel=1e-9)


def test_a_subspace_of_all_directions_reaches_at_least_what_its_axes_do() -> None:
    """Whatever A is, moving along the one axis that climbs most is allowed: a bound from below."""
    found = Sharpness(1e-3, subspace=5, draws=1)(BOWL, POINTS[:1])[0]["sharpness"]
    frame = torch.randn(5, 5, generator=stream(0, "subspace", 0)).double()
    half = 1e-3 * (torch.linalg.solve(frame, POINTS[0]).abs() + 1)
    best = max(
        float(BOWL.losses((POINTS[0] + side * half[i] * frame[:, i])[None]))
        for i in range(5)
        for side in (-1, 1)
    )
    before = float(BOWL.losses(POINTS[:1]))
    assert found.value is not None and found.value >= 100 * (best - before) / (1 + before) * (
        1 - 1e-9
    )


def test_each_point_stands_for_itself_and_mirror_images_are_alike() -> None:
    whole = [row["sharpness"].value for row in Sharpness()(BOWL, POINTS)]
    assert [Sharpness()(BOWL, theta[None])[0]["sharpness"].value for theta in POINTS] == whole
    assert [row["sharpness"].value for row in Sharpness()(BOWL, -POINTS)] == pytest.approx(
        whole, rel=1e-12
    )


def test_more_iterations_never_find_less() -> None:
    net = Network(partial(MLP, hidden=(4,)), digits(), weight_decay=0.0)
    theta = net.init(1, stream(0, "init"))
    found = [Sharpness(iterations=k)(net, theta)[0]["sharpness"].value or 0.0 for k in (1, 3, 10)]
    assert 0 < found[0] <= found[1] <= found[2]


def test_the_same_function_in_other_coordinates_is_sharper() -> None:
    """Dinh et al. 2017: the loss cannot tell the two points apart, the sharpness can."""
    net = Network(partial(MLP, hidden=(8, 8)), digits(), weight_decay=0.0)
    cloud = net.init(2, stream(0, "init")).double()
    moved = rescaled(net, cloud, 256.0)
    assert torch.allclose(net.losses(moved), net.losses(cloud), rtol=1e-12, atol=0)
    for before, after in zip(Sharpness()(net, cloud), Sharpness()(net, moved), strict=True):
        assert (after["sharpness"].value or 0) > 2 * (before["sharpness"].value or 1)


def test_a_wrong_box_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = sharpness.half_box
    monkeypatch.setattr(
        sharpness, "half_box", lambda theta, frame, epsilon: right(theta, frame, epsilon) - epsilon
    )
    found = [
        row["sharpness"].value for row in Sharpness()(BOWL, POINTS)
    ]  # |θ_i| instead of |θ_i| + 1
    exact = [at_the_corner(theta, 1e-3) for theta in POINTS]
    assert all(abs(a / b - 1) > 0.1 for a, b in zip(found, exact, strict=True) if a is not None)
