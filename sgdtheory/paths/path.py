"""A path between two points that was found, and the values along one that is being looked for."""

from collections.abc import Callable
from math import inf, nan
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from sgdtheory.paths.polyline import arc_positions, length, points_at, straight_length, subdivide
from sgdtheory.paths.profile import Profile
from sgdtheory.protocol import Cloud
from sgdtheory.statistics.rows import Row

# points [T, n] → values [T], e.g. training loss with recomputed statistics
Evaluate: TypeAlias = Callable[[Cloud], Tensor]
CHUNK = 16  # points of a path that exist at once while it is evaluated
LINE = 16  # parts of the straight line that its barrier is taken from


class Path(NamedTuple):
    """Straight pieces between pivots, and the arc positions where losses are measured."""

    pivots: Tensor  # [P, n]
    t: Tensor  # [T], 0 at the first point and 1 at the last

    def at(self, t: Tensor) -> Cloud:
        """The points [T, n] at arc positions t [T]."""
        return points_at(self.pivots, t)

    @property
    def points(self) -> Cloud:
        """The points [T, n] where losses are measured."""
        return self.at(self.t)

    @property
    def arcs(self) -> Tensor:
        """The arc position of each pivot, [P], float64."""
        return arc_positions(self.pivots)

    @property
    def length(self) -> float:
        """Σ_i |θ_{i+1} − θ_i|."""
        return length(self.pivots)

    @property
    def chord(self) -> float:
        """|θ_last − θ_first|."""
        return straight_length(self.pivots)

    @property
    def length_ratio(self) -> float:
        """Length over chord."""
        return self.length / self.chord

    @classmethod
    def subdivided(cls, pivots: Tensor, parts: int) -> "Path":
        """The path of pivots [P, n], measured at the ends of `parts` equal parts of each piece."""
        return cls(pivots, subdivide(arc_positions(pivots), parts))


class FoundPath(NamedTuple):
    """What a search hands on: the path with its scores, and what it took to find it."""

    path: Path
    along: Profile  # scores of `path.points`
    barrier: float  # the highest training loss over the higher end's
    straight: float  # the same of the straight line; NaN where the search did not look at it
    gradients: int  # one a pivot and step
    evaluations: int  # points that were looked at; one that was looked at twice counts twice
    attempts: int
    facts: Row  # of the search, as they stand in the results
    learning_rate: float = nan


def values_along(path: Tensor, parts: int, end_values: Tensor, evaluate: Evaluate) -> Tensor:
    """Values [(P−1)·parts + 1] at `subdivide(path, parts)` of a path [P, n], float64; those of the
    ends are known, [2], and not asked for again."""
    arcs = arc_positions(path)
    inside = subdivide(arcs, parts)[1:-1]
    chunks = []
    for t in inside.split(CHUNK):
        points = points_at(path, t, arcs)
        chunks.append(in_float64(evaluate, points))
    return torch.cat([end_values[:1], *chunks, end_values[1:]])


def in_float64(evaluate: Evaluate, points: Cloud) -> Tensor:
    """Values [T] of points [T, n] where these are, float64."""
    values = evaluate(points).detach()
    return values.double().to(points.device)


def barrier_of(values: Tensor) -> float:
    """The highest of the values [T] along a path over the higher end's; inf where one is not
    finite."""
    if not bool(torch.isfinite(values).all()):
        return inf
    higher_end = values[[0, -1]].max()
    return float(values.max() - higher_end)


def highest_point(path: Tensor, values: Tensor) -> Tensor:
    """The highest point [n] of a path [P, n], by its values [(P−1)·m + 1] at `subdivide(path,
    m)`."""
    arcs = arc_positions(path)
    parts = (len(values) - 1) // (len(path) - 1)
    t = subdivide(arcs, parts)
    top = int(values.argmax())
    points = points_at(path, t[top : top + 1], arcs)
    return points[0]
