"""The other ways to join two points: the straight line, and curves with one bend that is trained
(Garipov et al. 2018).

Each is φ(t) = w₀(t)·θ₀ + w₁(t)·bend + w₂(t)·θ₁: a curve is the function t [T] → w [T, 3].

"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple, TypeAlias

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from sgdtheory.annotations import Shape
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


def curve_points(curve: Curve, ends: Tensor, bend: Tensor, t: Tensor) -> Tensor:
    """φ(t) [T, n] of one bend [n] between ends [2, n]."""
    corners = torch.stack([ends[0], bend.to(ends), ends[1]])
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
    """E_t L(φ(t)), t uniform in [0, 1], as a landscape over bends [R, n] (Garipov et al. 2018,
    1802.10026, Eq. 1 and 3.2).

    A mini-batch draws one t a row, so that a step costs one gradient a bend; the whole objective is
    the mean over `nodes` midpoints. Where mini-batches come from, and the learning rate, are the
    inner landscape's own: count and batch, or sample. Fresh bends are the middle of the ends, a
    hundredth of their distance off it, for symmetry may hold the straight line.
    """

    inner: Landscape
    ends: Tensor  # [2, n]
    curve: Curve = bezier
    nodes: Annotated[int, Ge(1)] = 16

    @property
    def dim(self) -> int:
        return self.inner.dim

    def init(self, points: int, stream: Generator) -> Cloud:
        """Bends [points, n] near the middle of the ends."""
        distance = (self.ends[1] - self.ends[0]).norm()
        draws = torch.randn(points, self.dim, generator=stream)
        away = draws.to(self.ends) / self.dim**0.5
        bends: Cloud = self.ends.mean(0) + NUDGE * distance * away
        return bends

    def losses(self, cloud: Cloud, batch: CurveBatch | None = None) -> Tensor:
        """Of bends [R, n], [R]."""
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
        """`losses` [R] and their gradients w₁(t)·∇L(φ(t)) [R, n]."""
        if batch is None:
            return by_autograd(self.losses, cloud)
        t = batch.t.to(cloud)
        losses, gradients = value_and_grad(self.inner, self._at(cloud, t), batch.inner, into)
        middle = self.curve(t)[:, 1]
        return losses, middle[:, None] * gradients

    def _at(self, bends: Cloud, t: Tensor) -> Cloud:
        """φ(t) of each bend [R, n] at its own t [R], or all at one t [1]."""
        weights = self.curve(t).T
        first, middle, last = weights[..., None]  # each [R or 1, 1]
        start, end = self.ends.to(bends)
        points: Cloud = first * start + middle * bends + last * end
        return points

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
