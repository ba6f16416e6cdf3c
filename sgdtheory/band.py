"""The elastic band: pivots between two fixed points that descend across their path and keep their places along it."""

from dataclasses import dataclass
from math import isinf

import torch
from torch import Tensor

from sgdtheory.cloud import arc_positions, gaps, points_at, subdivide
from sgdtheory.kinds import Positive


def tangents(path: Tensor, values: Tensor) -> Tensor:
    """The improved tangent τ of each interior point, normalised, [P−2, n], from values V [P].

    With τ⁺ = θ_{i+1} − θ_i, τ⁻ = θ_i − θ_{i−1} (Henkelman & Jónsson 2000, J. Chem. Phys. 113, 9978, Eqs. 8–11):
    τ⁺ where V_{i+1} > V_i > V_{i−1}; τ⁻ where V_{i+1} < V_i < V_{i−1}; at an extremum, of ΔVmax and ΔVmin, the larger and
    the smaller of |V_{i+1} − V_i| and |V_{i−1} − V_i|: τ⁺ΔVmax + τ⁻ΔVmin if V_{i+1} > V_{i−1}, else τ⁺ΔVmin + τ⁻ΔVmax.
    Where the three are equal, which they leave open: τ⁺ + τ⁻.
    """
    steps, rises = path[1:] - path[:-1], values[1:] - values[:-1]  # [P−1, n], [P−1]; τ⁺ and τ⁻ are the steps on both sides
    sizes = rises.abs() + torch.finfo(values.dtype).tiny  # so that where all are equal both weigh the same
    signs = rises.sign()
    largest, smallest = torch.maximum(sizes[1:], sizes[:-1]), torch.minimum(sizes[1:], sizes[:-1])
    share = torch.where(signs[1:] * signs[:-1] > 0, 0, smallest / largest).to(path.dtype)[:, None]  # on a slope one τ alone
    rising = (values[2:] > values[:-2])[:, None]
    tangent = (steps[1:] * torch.where(rising, 1, share)).addcmul_(steps[:-1], torch.where(rising, share, 1))
    size: Tensor = torch.linalg.vector_norm(tangent, dim=1, keepdim=True)
    return tangent.div_(size.clamp_min_(torch.finfo(path.dtype).tiny))


@dataclass(frozen=True, eq=False)
class ElasticBand:
    """The force on interior pivot i, whose negative SGD descends (Henkelman & Jónsson 2000, Eqs. 3, 4, 12):

    F_i = −(∇L − (∇L·τ)τ) + k(|τ⁺| − |τ⁻|)τ, with k = `stiffness`. k = ∞ is no spring: before every step the pivots slide to
    arc positions `targets` [P] (the string method, E, Ren & Vanden-Eijnden 2007, J. Chem. Phys. 126, 164103), in one pass:
    what it leaves is of second order (see `cloud.redistribute`), and the next step's pass takes it.
    `climb`: the highest pivot, where it is above both ends, feels no spring and climbs, F = −∇L + 2(∇L·τ)τ (Henkelman,
    Uberuaga & Jónsson 2000, J. Chem. Phys. 113, 9901, Eq. 5). Nothing is slid then: that would drag it off its saddle,
    and forces across the path alone leave the spacing nearly as it is.

    The cloud that SGD moves is the interior pivots [P−2, n] alone: `ends` [2, n] feel no force, so no gradient is spent on
    them. Their losses matter only as V_0 and V_{P−1} in the tangents next to them, and are `end_losses` [2], those of the
    whole objective, known beforehand: an evaluation on the mini-batch would cost two forward passes a step to tell what
    is nearly constant, that minima are lower than the path. (MLP on digits, 15 pairs: excess .00104 either way, difference
    1e-6.)
    Weight decay is the landscape's: it is in ∇L at every pivot and pulls nothing else.
    """

    ends: Tensor
    end_losses: Tensor
    targets: Tensor
    stiffness: Positive = float("inf")
    climb: bool = False
    shared_batches: bool = True  # else tangents would compare the noise of different mini-batches

    def path(self, cloud: Tensor) -> Tensor:
        """The interior pivots with the two ends, [P, n]."""
        return torch.cat([self.ends[:1], cloud, self.ends[1:]])

    def place(self, cloud: Tensor) -> Tensor:
        if self.climb or not isinf(self.stiffness):
            return cloud
        return points_at(self.path(cloud), self.targets[1:-1])

    def force(self, cloud: Tensor, losses: Tensor, gradients: Tensor) -> Tensor:
        """−F [P−2, n]."""
        path = self.path(cloud)
        tau = tangents(path, torch.cat([self.end_losses[:1], losses, self.end_losses[1:]]))
        slopes = (gradients * tau).sum(1)  # ∇L·τ [P−2]
        along = slopes if isinf(self.stiffness) else slopes + self.stiffness * stretches(path).to(slopes.dtype)
        if self.climb:
            highest = torch.arange(len(losses), device=losses.device) == losses.argmax()
            along = torch.where(highest & (losses > self.end_losses.max()), 2 * slopes, along)
        return torch.addcmul(gradients, along[:, None], tau, value=-1)


def stretches(path: Tensor) -> Tensor:
    """|τ⁺| − |τ⁻| of each interior point, [P−2]: positive pulls it towards the last point."""
    sizes = gaps(path)
    return sizes[1:] - sizes[:-1]


def insertion(path: Tensor, values: Tensor, most: int, threshold: float) -> tuple[Tensor, Tensor]:
    """New pivots where the path rises above what its pivots know of; the new path [P + k, n] and its arc positions [P + k].

    `values` [(P−1)·m + 1] are those of `subdivide(path, m)`. In each gap the largest departure upwards from linear
    interpolation between its two pivots counts, if it is over `threshold` of the range of all values; at most `most` gaps,
    largest first, get one new pivot where it is (Draxler et al. 2018, Section 3.2, after Kolsbjerg et al. 2016).
    Upwards only: a dip between two pivots does not raise the maximum of the path.
    """
    parts = (len(values) - 1) // (len(path) - 1)
    departures = (values - subdivide(values[::parts], parts))[:-1].view(-1, parts)  # [P−1, m]; its first column is 0
    height, where = departures.max(1)  # of each gap
    order = height.argsort(descending=True, stable=True)[:most]
    chosen = order[height[order] > threshold * (values.max() - values.min())]
    arcs = arc_positions(path)
    new = arcs[:-1][chosen] + (arcs[1:] - arcs[:-1])[chosen] * where[chosen] / parts
    targets = torch.cat([arcs, new]).sort().values
    return points_at(path, targets, arcs), targets
