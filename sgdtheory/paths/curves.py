"""The other ways to join two points: the straight line, and curves with bends that are trained
(Garipov et al. 2018).

Each is φ(t) = w₀(t)·θ₀ + w₁(t)·bend₁ + … + w_K(t)·bend_K + w_{K+1}(t)·θ₁: a curve is the function
t [T] → w [T, K + 2].
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from math import comb
from typing import NamedTuple, TypeAlias

import torch
from torch import Generator, Tensor

from sgdtheory.annotations import PositiveInt, Shape
from sgdtheory.protocol import Batch, Cloud, Landscape, by_autograd, value_and_grad
from sgdtheory.roles.examples import examples_of, has_examples, is_augmented, sampled_of
from sgdtheory.roles.facts import rows_at_once_of, states_rate

Curve: TypeAlias = Callable[[Tensor], Tensor]
NUDGE = 1e-2  # of the distance of the ends: how far off the straight line a bend begins


def straight(t: Tensor) -> Tensor:
    """(1 − t)θ₀ + tθ₁, of t [T] the weights [T, 3]."""
    none = torch.zeros_like(t)
    return torch.stack([1 - t, none, t], -1)


def bezier(t: Tensor) -> Tensor:
    """(1 − t)²θ₀ + 2t(1 − t)·bend + t²θ₁ (1802.10026, Eq. 3), of t [T] the weights [T, 3]."""
    middle = 2 * t * (1 - t)
    return torch.stack([(1 - t).square(), middle, t.square()], -1)


def chain(t: Tensor) -> Tensor:
    """Two straight pieces, θ₀ to the bend at t = ½ and on to θ₁ (1802.10026, Eq. 2), of t [T] the
    weights [T, 3]."""
    before = (1 - 2 * t).clamp_min(0)
    after = (2 * t - 1).clamp_min(0)
    middle = 1 - before - after
    return torch.stack([before, middle, after], -1)


def bezier_of(bends: int) -> Curve:
    """The Bézier curve with so many bends, of degree bends + 1; with one, `bezier`."""
    if bends == 1:
        return bezier
    return partial(_bernstein, bends + 1)


def _bernstein(degree: int, t: Tensor) -> Tensor:
    """(d over k)·tᵏ(1 − t)^{d−k} for k = 0 … d, of t [T] the weights [T, d + 1]."""
    weights = []
    for k in range(degree + 1):
        rest = (1 - t).pow(degree - k)
        weights.append(comb(degree, k) * t.pow(k) * rest)
    return torch.stack(weights, -1)


def curve_points(curve: Curve, ends: Tensor, bends: Tensor, t: Tensor) -> Tensor:
    """φ(t) [T, n] of bends [K, n], or of one [n], between ends [2, n]."""
    between = bends.to(ends).view(-1, ends.shape[1])
    corners = torch.cat([ends[:1], between, ends[1:]])
    return curve(t.to(ends)) @ corners


class CurveBatch(NamedTuple):
    t: Tensor  # [R or 1]
    inner: Batch


@dataclass(frozen=True)
class CurveDraws:
    """What a block of steps needs besides indices: t, and the draws of the landscape's own
    augmentation."""

    t: Tensor  # [S, R or 1]
    inner: Tensor | None

    def to(self, device: torch.device) -> "CurveDraws":
        t = self.t.to(device)
        if self.inner is None:
            return CurveDraws(t, None)
        return CurveDraws(t, self.inner.to(device))

    def __getitem__(self, step: int) -> "CurveDraws":
        t = self.t[step]
        if self.inner is None:
            return CurveDraws(t, None)
        return CurveDraws(t, self.inner[step])


@dataclass(frozen=True, eq=False)
class CurveLandscape:
    """E_t L(φ(t)), t uniform in [0, 1], as a landscape over the K bends of a curve, one after the
    other in a row [R, K·n] (Garipov et al. 2018, 1802.10026, Eq. 1 and 3.2).

    A mini-batch draws one t a row, so that a step costs one gradient a row, however many bends; the
    whole objective is the mean over `nodes` midpoints. Where mini-batches come from, and the
    learning rate, are the inner landscape's own: count and batch, or sample. Fresh bends are evenly
    spaced between the ends, a hundredth of their distance off the line, for symmetry may hold it.
    """

    inner: Landscape
    ends: Tensor  # [2, n]
    curve: Curve = bezier
    nodes: PositiveInt = 16

    @cached_property
    def bends(self) -> int:
        """K."""
        start = torch.zeros(1)
        return self.curve(start).shape[1] - 2

    @property
    def dim(self) -> int:
        return self.bends * self.inner.dim

    def init(self, points: int, stream: Generator) -> Cloud:
        """Bends [points, K·n] near the straight line."""
        distance = (self.ends[1] - self.ends[0]).norm()
        draws = torch.randn(points, self.dim, generator=stream)
        away = draws.to(self.ends) / self.inner.dim**0.5
        t = torch.linspace(0, 1, self.bends + 2)[1:-1].to(self.ends)
        line = torch.lerp(self.ends[:1], self.ends[1:], t[:, None])
        bends: Cloud = line.flatten() + NUDGE * distance * away
        return bends

    def losses(self, cloud: Cloud, batch: CurveBatch | None = None) -> Tensor:
        """Of bends [R, K·n], [R]."""
        if batch is not None:
            points = self._at(cloud, batch.t.to(cloud))
            return self.inner.losses(points, batch.inner)
        steps = torch.arange(self.nodes).to(cloud)
        t = (steps + 0.5) / self.nodes
        bends = cloud.repeat(self.nodes, 1)
        points = self._at(bends, t.repeat_interleave(len(cloud)))  # [nodes·R, n]
        losses = self.inner.losses(points, None)
        return losses.view(self.nodes, -1).mean(0)

    def losses_and_gradients(
        self, cloud: Cloud, batch: CurveBatch | None = None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`losses` [R] and their gradients w_k(t)·∇L(φ(t)), [R, K·n]."""
        if batch is None:
            return by_autograd(self.losses, cloud)
        t = batch.t.to(cloud)
        losses, gradients = value_and_grad(self.inner, self._at(cloud, t), batch.inner)
        between = self.curve(t)[:, 1:-1]
        of_bends = between[:, :, None] * gradients[:, None]
        return losses, of_bends.flatten(1)

    def _at(self, cloud: Cloud, t: Tensor) -> Cloud:
        """φ(t) of the bends of each row [R, K·n] at its own t [R], or all at one t [1]."""
        weights = self.curve(t).T
        first, *between, last = weights[..., None]  # each [R or 1, 1]
        start, end = self.ends.to(cloud)
        points = first * start
        for weight, bends in zip(between, cloud.chunk(self.bends, 1), strict=True):
            points = points + weight * bends
        whole: Cloud = points + last * end
        return whole

    # What follows is there where the inner landscape has it; else there is no such attribute.

    @property
    def count(self) -> int:
        if not has_examples(self.inner):
            raise AttributeError("count")
        return self.inner.count

    @property
    def learning_rate(self) -> Callable[[], float | None]:
        if not states_rate(self.inner):
            raise AttributeError("learning_rate")
        return self.inner.learning_rate

    @property
    def rows_at_once(self) -> int | None:
        return rows_at_once_of(self.inner)

    def sample(self, points: int, size: int, stream: Generator) -> CurveBatch:
        """One t and one mini-batch of the inner landscape a bend."""
        t = torch.rand(points, generator=stream)
        inner = sampled_of(self.inner).sample(points, size, stream)
        return CurveBatch(t, inner)

    def augmentation(self, shape: Shape, stream: Generator) -> CurveDraws:
        """One t a step and bend, and the inner landscape's own draws."""
        t = torch.rand(shape[:2], generator=stream)
        inner = None
        if is_augmented(self.inner):
            inner = self.inner.augmentation(shape, stream)
        return CurveDraws(t, inner)

    def batch(self, indices: Tensor, draws: CurveDraws) -> CurveBatch:
        """The examples of indices [R or 1, b], and one t a bend."""
        if draws.inner is not None and is_augmented(self.inner):
            inner = self.inner.batch(indices, draws.inner)
        else:
            inner = examples_of(self.inner).batch(indices)
        return CurveBatch(draws.t, inner)
