"""Curves with bends: their shape, and that training finds the bend of the lowest mean loss."""

from typing import Any

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from sgdtheory.landscapes.linear_net import LinearNet
from sgdtheory.optim.schedule import Constant, Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.curves import (
    Curve,
    CurveLandscape,
    bezier,
    bezier_of,
    chain,
    curve_points,
    straight,
)
from sgdtheory.protocol import value_and_grad, values
from sgdtheory.rng import stream

CURVES = [straight, bezier, chain]
T = torch.linspace(0, 1, 101, dtype=torch.float64)


def corners(dim: int = 6) -> tuple[Tensor, Tensor]:
    draws = torch.randn(3, dim, generator=stream(0, "corners"), dtype=torch.float64)
    return draws[:2], draws[2]


@pytest.mark.parametrize("curve", CURVES)
def test_a_curve_joins_its_ends_with_weights_that_sum_to_one(curve: Curve) -> None:
    ends, bend = corners()
    points = curve_points(curve, ends, bend, T)
    assert torch.equal(points[[0, -1]], ends)
    torch.testing.assert_close(curve(T).sum(1), torch.ones_like(T))
    torch.testing.assert_close(curve(T).flip(0, 1), curve(T))  # no end is preferred


def test_middles_and_bends() -> None:
    ends, bend = corners()
    half = torch.tensor([0.5], dtype=torch.float64)
    torch.testing.assert_close(curve_points(straight, ends, bend, half)[0], ends.mean(0))
    torch.testing.assert_close(
        curve_points(bezier, ends, bend, half)[0], ends.mean(0) / 2 + bend / 2
    )
    torch.testing.assert_close(curve_points(chain, ends, bend, half)[0], bend)
    quarter = torch.tensor([0.25], dtype=torch.float64)
    torch.testing.assert_close(curve_points(chain, ends, bend, quarter)[0], (ends[0] + bend) / 2)


@pytest.mark.parametrize("curve", [bezier, chain])
def test_gradients_follow_the_chain_rule(curve: Curve) -> None:
    """∇_bend L(φ(t)) = w₁(t)·∇L(φ(t)), each row at its own t."""
    net = LinearNet(width=3)
    ends, bend = corners()
    bends, t = (
        torch.stack([bend, -bend, 2 * bend]),
        torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64),
    )
    along = CurveLandscape(net, ends, curve)
    batch = along.sample(3, 4, stream(0, "sample"))._replace(t=t)
    losses, gradients = value_and_grad(along, bends, batch)
    points = torch.stack(
        [curve_points(curve, ends, b, at[None])[0] for b, at in zip(bends, t, strict=True)]
    )
    wanted, inner = value_and_grad(net, points, batch.inner)
    torch.testing.assert_close(losses, wanted)
    torch.testing.assert_close(gradients, curve(t)[:, 1:2] * inner)


@pytest.mark.parametrize("bends", [1, 2, 3])
def test_a_bezier_curve_of_several_bends(bends: int) -> None:
    """Evenly spaced on the line they are the line; their weights sum to one, and are symmetric."""
    curve = bezier_of(bends)
    ends, _ = corners()
    at = torch.linspace(0, 1, bends + 2, dtype=torch.float64)[1:-1]
    on_line = torch.lerp(ends[:1], ends[1:], at[:, None])
    along = curve_points(curve, ends, on_line, T)
    torch.testing.assert_close(along, torch.lerp(ends[:1], ends[1:], T[:, None]))
    weights = curve(T)
    assert weights.shape == (101, bends + 2)
    torch.testing.assert_close(weights.sum(1), torch.ones_like(T))
    torch.testing.assert_close(weights.flip(0, 1), weights)
    assert bends > 1 or torch.equal(weights, bezier(T))


def test_gradients_of_several_bends_follow_the_chain_rule() -> None:
    """∂L(φ(t))/∂bend_k = w_k(t)·∇L(φ(t)), against finite differences."""
    net = LinearNet(width=3)
    ends, _ = corners()
    along = CurveLandscape(net, ends, bezier_of(3))
    assert along.dim == 3 * net.dim
    bends = along.init(2, stream(0, "bends")).double()
    t = torch.tensor([0.3, 0.8], dtype=torch.float64)
    batch = along.sample(2, 4, stream(0, "sample"))._replace(t=t)
    losses, gradients = value_and_grad(along, bends, batch)
    for row in range(2):
        point = curve_points(along.curve, ends, bends[row].view(3, -1), t[row : row + 1])
        inner = batch.inner[row : row + 1]
        torch.testing.assert_close(losses[row], net.losses(point, inner)[0])
    direction = torch.randn(bends.shape, generator=stream(0, "v"), dtype=torch.float64)
    step = 1e-6
    rise = along.losses(bends + step * direction, batch) - along.losses(
        bends - step * direction, batch
    )
    torch.testing.assert_close(rise / (2 * step), (gradients * direction).sum(1))


def best_height(net: LinearNet, curve: Curve) -> tuple[float, float]:
    """The bend across the line of the ends with the lowest mean loss, by one-dimensional search:
    its height, the loss."""
    t = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    across = torch.zeros(net.dim, dtype=torch.float64)
    across[[1, net.width + 1]] = 1.0  # a = b = e₂: where the sheet of minima lies

    def mean(height: float) -> float:
        return float(net.losses(curve_points(curve, net.minima(), height * across, t)).mean())

    found = minimize_scalar(mean, bounds=(0.0, 5.0), method="bounded", options={"xatol": 1e-9})
    return float(found.x), float(found.fun)


@pytest.mark.parametrize(("curve", "at_worst"), [(bezier, 0.05), (chain, 0.15)])
def test_a_trained_bend_goes_round_the_hill(curve: Curve, at_worst: float) -> None:
    """The full objective over the curve: the bend of the lowest mean loss, though it begins beside
    a ridge of ½."""
    net = LinearNet(width=2)
    along = CurveLandscape(net, net.minima(), curve, nodes=32)
    start = along.init(1, stream(0, "bend"))
    *_, last = SGD(600, None, "auto", Constant(), 0.9).run(along, start, 0)
    _, lowest = best_height(net, curve)
    assert float(values(along, last.cloud)[0]) == pytest.approx(lowest, rel=0.01)
    path = curve_points(curve, net.minima(), last.cloud[0], T)
    assert float(net.losses(path).max()) < at_worst
    line = curve_points(straight, net.minima(), last.cloud[0], T)
    assert float(net.losses(line).max()) == pytest.approx(0.5)


def test_mini_batches_reach_the_same_bend() -> None:
    net = LinearNet(width=2, noise=0.01)
    along = CurveLandscape(net, net.minima(), bezier)
    *_, last = SGD(2000, 16, 0.3, Cosine()).run(along, along.init(1, stream(0, "bend")), 0)
    assert float(values(along, last.cloud)[0]) == pytest.approx(
        best_height(net, bezier)[1], rel=0.05
    )


class Examples:
    """L = mean over examples of ½|θ − x_i + δ|², δ an augmentation: a data set in its smallest
    form."""

    def __init__(self, augmented: bool) -> None:
        self.x = torch.randn(50, 4, generator=stream(0, "x"), dtype=torch.float64)
        self.count, self.dim, self.augmented = 50, 4, augmented

    def init(self, points: int, stream: torch.Generator) -> Tensor:
        return torch.zeros(points, 4, dtype=torch.float64)

    def augmentation(self, shape: tuple[int, ...], stream: torch.Generator) -> Tensor | None:
        return (
            torch.randn(*shape, 4, generator=stream, dtype=torch.float64)
            if self.augmented
            else None
        )

    def batch(self, indices: Tensor, draws: Tensor | None = None) -> Tensor:
        return self.x[indices] if draws is None else self.x[indices] - draws

    def losses(self, cloud: Tensor, batch: Tensor | None = None) -> Tensor:
        return 0.5 * (cloud[:, None] - (self.x[None] if batch is None else batch)).square().sum(
            2
        ).mean(1)


@pytest.mark.parametrize("augmented", [False, True])
def test_on_examples_each_row_has_its_own_t_and_resumes_to_the_bit(augmented: bool) -> None:
    inner: Any = Examples(augmented)
    along = CurveLandscape(
        inner, torch.tensor([[1.0] * 4, [-1.0] * 4], dtype=torch.float64), bezier
    )
    sgd = SGD(40, 5, 0.1, Constant(), 0.9)
    whole = [
        (s.cloud.clone(), s.losses) for s in sgd.run(along, along.init(2, stream(0, "bend")), 0)
    ]
    assert not torch.allclose(whole[0][1], whole[0][1][[1, 0]])  # type: ignore[index]
    part = sgd.run(along, along.init(2, stream(0, "bend")), 0)
    halfway = [next(part) for _ in range(17)][-1]
    *_, resumed = sgd.run(along, halfway, 0)
    assert torch.equal(resumed.cloud, whole[-1][0])


def test_it_offers_what_its_landscape_offers() -> None:
    ends = torch.zeros(2, 4, dtype=torch.float64)
    data, formula = CurveLandscape(Examples(False), ends), CurveLandscape(LinearNet(2), ends)
    assert data.count == 50
    assert not hasattr(formula, "count")
    assert not hasattr(formula, "learning_rate")
