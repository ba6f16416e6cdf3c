"""Coordinates of what leaves a path: along its chord, along its tangent, by growth."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.paths.polyline import length, points_at
from sgdtheory.protocol import Cloud
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row


class Frame(NamedTuple):
    """Coordinates of what is released at A points of a path. Both are along fixed directions: arc
    positions of nearest points would be held by a polyline's vertices.
    """

    first: Tensor  # [n], the end at 0
    start: Cloud  # [A, n]
    chord: Tensor  # [n], from end to end
    tangent: Tensor  # [A, n], of length one
    length: float  # of the path
    outward: Tensor  # [A], the sign that leads to the nearer end

    @classmethod
    def of(cls, path: Tensor, at: Sequence[float]) -> "Frame":
        """Of a path [P, n]: the tangent at s is the direction from one mean gap between pivots
        before it to one after.
        """
        s = torch.tensor(at, dtype=torch.float64, device=path.device)
        gap = 1 / (len(path) - 1)
        after = points_at(path, (s + gap).clamp_max(1))
        before = points_at(path, (s - gap).clamp_min(0))
        tangent = after - before
        first = path[0]
        return cls(
            first=first,
            start=points_at(path, s),
            chord=path[-1] - first,
            tangent=tangent / tangent.norm(dim=1, keepdim=True),
            length=length(path),
            outward=torch.where(s < 0.5, -1.0, 1.0),
        )

    def along_chord(self, moved: Tensor) -> Tensor:
        """Displacements [A, R, n] → their part along the chord in units of it, towards the nearer
        end [A, R], float64.
        """
        chord = self.chord.double()
        along = moved.double() @ chord
        return self.outward[:, None] * along / chord.square().sum()

    def along_tangent(self, moved: Tensor) -> Tensor:
        """Displacements [A, R, n] → the same along the path's tangent [A, R], in units of its
        length."""
        along = torch.einsum("arn,an->ar", moved.double(), self.tangent.double())
        return self.outward[:, None] * along / self.length

    def by_growth(self, moved: Tensor) -> Tensor:
        """The part of `along_chord` [A, R] of displacements [A, R, n] that is growth of |θ|.

        A path bends away from the origin less than its ends lie apart, so that a longer θ of the
        same direction stands further out.
        """
        start = self.start.double()
        radial = start / start.norm(dim=1, keepdim=True)
        growth = torch.einsum("arn,an->ar", moved.double(), radial)
        grown = growth[:, :, None] * radial[:, None]
        return self.along_chord(grown)

    def way(self, cloud: Cloud) -> Tensor:
        """The fraction of the way along the chord from the start to the nearer end that clouds
        [A, R, n] have made, [A, R].
        """
        end = torch.where(self.outward < 0, 0.0, 1.0).double()
        chord = self.chord.double()
        before = self.start.double() - self.first.double()
        there = (before @ chord) / chord.square().sum()
        whole = (end - there).abs()
        moved = cloud - self.start[:, None]
        return self.along_chord(moved) / whole[:, None]

    def drift(self, cloud: Cloud, descent: Cloud, at: int) -> Row:
        """How far replicas of one point [A, R, n] are from gradient descent [A, 1, n], towards the
        nearer end: means over R.
        """
        start = self.start[:, None]
        away = cloud - descent
        moved = descent - start
        distances = (cloud - start).norm(dim=2)

        def mean(x: Tensor) -> Measured:
            return Measured.mean(x[at].cpu())

        of_descent = {
            "chord_descent": float(self.along_chord(moved)[at, 0]),
            "tangent_descent": float(self.along_tangent(moved)[at, 0]),
            "distance_descent": float(moved[at, 0].norm()),
            "norm_start": float(self.start[at].norm()),
        }
        return row_of(
            of_descent,
            chord=mean(self.along_chord(away)),
            tangent=mean(self.along_tangent(away)),
            growth=mean(self.by_growth(away)),
            beyond_growth=mean(self.along_chord(away) - self.by_growth(away)),
            way=mean(self.way(cloud)),
            distance=mean(distances),
            norm=mean(cloud.norm(dim=2)),
        )
