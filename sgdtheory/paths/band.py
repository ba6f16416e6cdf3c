"""The elastic band: pivots between two fixed points that descend across their path and keep their
places along it."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import isinf

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveFloat
from sgdtheory.paths.polyline import (
    InterpolationMatrix,
    arc_positions,
    gaps,
    points_at,
    reparametrize,
    subdivide,
)

TINY = 1e-300  # of a loss: nothing


def tangents(
    path: Tensor, values: list[float], weighted: InterpolationMatrix | None = None
) -> Tensor:
    """The improved tangent τ of each interior point, of some length, [P−2, n], from the values V of
    the P points.

    With τ⁺ = θ_{i+1} − θ_i, τ⁻ = θ_i − θ_{i−1} (Henkelman & Jónsson 2000, J. Chem. Phys. 113, 9978,
    Eqs. 8–11): τ⁺ where V_{i+1} > V_i > V_{i−1}; τ⁻ where V_{i+1} < V_i < V_{i−1}; at an extremum,
    of ΔVmax and ΔVmin, the larger and the smaller of |V_{i+1} − V_i| and |V_{i−1} − V_i|: τ⁺ΔVmax +
    τ⁻ΔVmin if V_{i+1} > V_{i−1}, else τ⁺ΔVmin + τ⁻ΔVmax. Where the three are equal, which they
    leave open: τ⁺ + τ⁻. All of this is one rule: τ⁺ weighs what V rises on the two sides of the
    point together, τ⁻ what it falls.
    """
    rises = [after - before for before, after in pairwise(values)]
    # so that where all are equal both weigh the same
    ups = [rise if rise > 0 else TINY for rise in rises]
    downs = [-rise if rise < 0 else TINY for rise in rises]
    if weighted is None:
        weighted = InterpolationMatrix(len(path), path.dtype)
    weights = weighted.weights
    at = 0  # the three of each row are always in the same place
    for (up, next_up), (down, next_down) in zip(pairwise(ups), pairwise(downs), strict=True):
        rise = up + next_up
        fall = down + next_down
        forward = rise / (rise + fall)
        backward = fall / (rise + fall)
        weights[at] = -backward
        weights[at + 1] = backward - forward
        weights[at + 2] = forward
        at += weighted.points + 1
    return weighted.of(path)


@dataclass(frozen=True, eq=False)
class ElasticBand:
    """The force on interior pivot i, whose negative SGD descends (Henkelman & Jónsson 2000, Eqs. 3,
    4, 12):

    F_i = −(∇L − (∇L·τ)τ) + k(|τ⁺| − |τ⁻|)τ, with k = `stiffness`. k = ∞ is no spring: before every
    step the path is reparametrized, its pivots put at arc positions `targets` [P] (the string
    method, E, Ren & Vanden-Eijnden 2007, J. Chem. Phys. 126, 164103), in one pass: what it leaves
    is of second order (see `reparametrize_exactly`), and the next step's pass takes it. `climb`:
    the highest pivot, where it is above both ends, feels no spring and climbs, F = −∇L + 2(∇L·τ)τ
    (Henkelman, Uberuaga & Jónsson 2000, J. Chem. Phys. 113, 9901, Eq. 5). Nothing is reparametrized
    then: that would drag it off its saddle, and forces across the path alone leave the spacing
    nearly as it is.

    The cloud that SGD moves is the interior pivots [P−2, n] alone: `ends` [2, n] feel no force, so
    no gradient is spent on them. Their losses matter only as V_0 and V_{P−1} in the tangents next
    to them, and are `end_losses` [2], those of the whole objective, known beforehand: an evaluation
    on the mini-batch would cost two forward passes a step to tell what is nearly constant, that
    minima are lower than the path. (MLP on digits, 15 pairs: excess .00104 either way, difference
    1e-6.) Weight decay is the landscape's: it is in ∇L at every pivot and pulls nothing else.
    """

    ends: Tensor
    end_losses: Tensor
    targets: Tensor
    stiffness: PositiveFloat = float("inf")
    climb: bool = False
    shared_batches: bool = True  # else tangents would compare the noise of different mini-batches
    ceiling: float = float("inf")  # SGD gives up where the pivots' mean loss is above it

    def path(self, cloud: Tensor) -> Tensor:
        """The interior pivots with the two ends, [P, n]; for a cloud that `project` gave away the
        path that it is part of."""
        for path, interior in self._paths:
            if cloud is interior:
                return path
        return torch.cat([self.ends[:1], cloud, self.ends[1:]])

    def project(self, cloud: Tensor) -> Tensor:
        """The cloud [P−2, n] at its targets: in new memory; of a cloud that `project` gave away, in
        that of the one before.

        Two paths in turn are read and written, so that no step allocates one.
        """
        if self.climb or not isinf(self.stiffness):
            return cloud
        path = self.path(cloud)
        if not any(path is known for known, _ in self._paths):
            self._paths[:] = [self._new_path(), self._new_path()]
        (first, interior), (_, other) = self._paths
        if path is first:
            interior = other
        return reparametrize(path, self._targets, self._sliding, interior)

    def force(self, cloud: Tensor, losses: Tensor, gradients: Tensor) -> Tensor:
        """−F [P−2, n], of a cloud [P−2, n], its losses [P−2] and gradients [P−2, n]."""
        path = self.path(cloud)
        first, last = self._end_losses
        values = [first, *losses.tolist(), last]
        tau = tangents(path, values, self._tangents)
        size = torch.linalg.vector_norm(tau, dim=1)
        along = (gradients * tau).sum(1)  # |τ|∇L·τ̂ [P−2]
        if self.climb or not isinf(self.stiffness):
            along = self._along(along, size, path, losses)
        tiny = torch.finfo(size.dtype).tiny
        square = size.square_().clamp_min_(tiny)
        fraction = along.div_(square)[:, None]
        return torch.addcmul(gradients, fraction, tau, value=-1)

    def _along(self, slopes: Tensor, size: Tensor, path: Tensor, losses: Tensor) -> Tensor:
        """What is taken off the gradients along the path where there are springs or a climber,
        times |τ|, [P−2]."""
        along = slopes
        if not isinf(self.stiffness):
            stretched = stretches(path).to(size)
            along = slopes + self.stiffness * stretched * size
        if not self.climb:
            return along
        pivots = torch.arange(len(losses), device=losses.device)
        is_highest = pivots == losses.argmax()
        is_above = losses > self.end_losses.max()
        return torch.where(is_highest & is_above, 2 * slopes, along)

    # What every step needs, made once a stage. A GPU waits for the small sums twice a step, for
    # less than the thirty launches that they would be.

    @cached_property
    def _targets(self) -> list[float]:
        targets: list[float] = self.targets.tolist()
        return targets

    @cached_property
    def _end_losses(self) -> list[float]:
        losses: list[float] = self.end_losses.tolist()
        return losses

    @cached_property
    def _paths(self) -> list[tuple[Tensor, Tensor]]:
        """The paths of the newest two projected clouds, and these, which are views of their
        interiors."""
        return []

    def _new_path(self) -> tuple[Tensor, Tensor]:
        interior = len(self._targets) - 2
        between = self.ends.new_empty(interior, self.ends.shape[1])
        path = torch.cat([self.ends[:1], between, self.ends[1:]])
        return path, path[1:-1]

    @cached_property
    def _sliding(self) -> InterpolationMatrix:
        return InterpolationMatrix(len(self._targets), self.ends.dtype)

    @cached_property
    def _tangents(self) -> InterpolationMatrix:
        return InterpolationMatrix(len(self._targets), self.ends.dtype)


def pivots_on_line(
    ends: Tensor, count: int, nudge: float, source: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A path [count + 2, n] of evenly spaced pivots near the straight line between ends [2, n], and
    its arc positions [count + 2].

    It is bent by sin(πt), up to `nudge` of the line's length, in a random direction: all pivots to
    one side, or halves would part on a ridge.
    """
    t = torch.linspace(0, 1, count + 2, dtype=torch.float64, device=ends.device)
    bend = torch.randn(ends.shape[1], generator=source, dtype=torch.float64)
    bend = bend.to(ends)
    distance = (ends[1] - ends[0]).norm()
    size = nudge * distance / bend.norm()
    arch = torch.sin(torch.pi * t).to(ends)
    path = points_at(ends, t) + size * arch[:, None] * bend
    path[[0, -1]] = ends
    return path, arc_positions(path)


def stretches(path: Tensor) -> Tensor:
    """|τ⁺| − |τ⁻| of each interior point, [P−2]: positive pulls it towards the last point."""
    sizes = gaps(path)
    return sizes[1:] - sizes[:-1]


def insertion(path: Tensor, values: Tensor, most: int, threshold: float) -> tuple[Tensor, Tensor]:
    """New pivots where the path rises above what its pivots know of; the new path [P + k, n] and
    its arc positions [P + k].

    `values` [(P−1)·m + 1] are those of `subdivide(path, m)`. In each gap the largest departure
    upwards from linear interpolation between its two pivots counts, if it is over `threshold` of
    the range of all values; at most `most` gaps, largest first, get one new pivot where it is
    (Draxler et al. 2018, Section 3.2, after Kolsbjerg et al. 2016). Upwards only: a dip between two
    pivots does not raise the maximum of the path.
    """
    parts = (len(values) - 1) // (len(path) - 1)
    lines = subdivide(values[::parts], parts)
    departures = values - lines
    by_gap = departures[:-1].view(-1, parts)  # [P−1, m]; its first column is 0
    height, where = by_gap.max(1)
    order = height.argsort(descending=True, stable=True)[:most]
    least = threshold * (values.max() - values.min())
    chosen = order[height[order] > least]
    arcs = arc_positions(path)
    before = arcs[:-1][chosen]
    widths = arcs.diff()[chosen]
    new = before + widths * where[chosen] / parts
    targets = torch.cat([arcs, new]).sort().values
    return points_at(path, targets, arcs), targets
