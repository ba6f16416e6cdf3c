"""Geometry of a path: a cloud [P, n] whose points stand in a row, joined by straight pieces.

Letters: P points, n parameters, T positions, t the arc position, 0 at the first point and 1 at the
last. Lengths are summed in float64 whatever the path's dtype: n may be millions, and arc positions
are compared with one another.
"""

from itertools import accumulate

import torch
from torch import Tensor

TOLERANCE = 1e-5  # of the path's length: points this near to their targets are left where they are
# two or three are usual; a path that folds back on itself at right angles takes a hundred
PASSES = 500
TINY = torch.finfo(torch.float64).tiny


def gaps(path: Tensor) -> Tensor:
    """|θ_{i+1} − θ_i|, [P−1], float64."""
    steps = path[1:] - path[:-1]
    sizes: Tensor = torch.linalg.vector_norm(steps, dim=1, dtype=torch.float64)
    return sizes


def length(path: Tensor) -> float:
    """Σ_i |θ_{i+1} − θ_i| of a path [P, n]."""
    return float(gaps(path).sum())


def straight_length(path: Tensor) -> float:
    """|θ_last − θ_first| of a path [P, n]."""
    chord = path[-1] - path[0]
    return float(torch.linalg.vector_norm(chord, dtype=torch.float64))


def arc_positions(path: Tensor) -> Tensor:
    """Where each point stands on the path, as a fraction of its length, [P], float64."""
    lengths = gaps(path).cumsum(0)
    arcs = torch.nn.functional.pad(lengths, (1, 0))
    return arcs / arcs[-1].clamp_min(TINY)


def points_at(path: Tensor, t: Tensor, arcs: Tensor | None = None) -> Tensor:
    """The points of the path at arc positions t [T], [T, n]; the path's own points come back to the
    bit.

    `arcs`: the path's `arc_positions`, where they are known already.

    """
    if arcs is None:
        arcs = arc_positions(path)
    t = t.to(arcs).contiguous()
    # arcs[right − 1] < t ≤ arcs[right]
    right = torch.searchsorted(arcs, t).clamp_(1, len(arcs) - 1)
    left = right - 1
    start = arcs[left]
    width = (arcs[right] - start).clamp_min_(TINY)
    fraction = (t - start) / width
    before = path.index_select(0, left)
    after = path.index_select(0, right)
    return torch.lerp(before, after, fraction.to(path.dtype)[:, None])


class InterpolationMatrix:
    """One weighted sum of a path's P points for each interior one, [P−2, n], by one product; the
    weights are written anew.

    Sums of P terms are cheapest as plain numbers: on a small network one more call on a tensor
    costs a hundredth of a step.
    """

    def __init__(self, points: int, dtype: torch.dtype) -> None:
        self.points = points
        self._table = torch.zeros(points - 2, points, dtype=dtype)
        self.weights = self._table.numpy().reshape(-1)  # row by row

    def of(self, path: Tensor, out: Tensor | None = None) -> Tensor:
        """The weighted sums [P − 2, n] of a path [P, n]."""
        table = self._table.to(path.device)
        return torch.mm(table, path, out=out)


def reparametrize(
    path: Tensor,
    targets: list[float],
    weighted: InterpolationMatrix | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """`points_at(path, targets)` of the interior points [P−2, n], for targets that rise from 0 to
    1: by few calls.

    Gaps come from sums in the path's own dtype, pairwise, so good to 1e-7: a band makes its
    positions anew at every step. `weighted` and `out` are memory for it.
    """
    if weighted is None:
        weighted = InterpolationMatrix(len(path), path.dtype)
    squares = path.diff(dim=0).square_().sum(1)
    sizes = [square**0.5 for square in squares.tolist()]
    arcs = list(accumulate(sizes))  # at the end of each piece
    weights = weighted.weights
    total = arcs[-1]
    last = len(sizes) - 1
    weights.fill(0)
    at = 0
    piece = 0
    for target in targets[1:-1]:
        t = target * total
        while arcs[piece] < t and piece < last:
            piece += 1
        left = (arcs[piece] - t) / (sizes[piece] or 1.0)
        weights[at + piece] = left
        weights[at + piece + 1] = 1 - left
        at += weighted.points
    return weighted.of(path, out)


def reparametrize_exactly(path: Tensor, targets: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Slide the points along the path until they stand at arc positions `targets` [P]; the ends
    stay.

    One pass puts them there on the old path; but the new one cuts its corners and is shorter, so
    that they stand there only to second order. Passes are repeated until all are within
    `tolerance`. A path whose points stand there is returned untouched, so that doing it twice is
    doing it once, to the bit.
    """
    for _ in range(PASSES):
        arcs = arc_positions(path)
        worst = (arcs - targets).abs().max()
        if not bool(worst > tolerance):  # so that NaN ends it too
            break
        interior = points_at(path, targets[1:-1], arcs)
        path = torch.cat([path[:1], interior, path[-1:]])
    return path


def subdivide(rows: Tensor, parts: int) -> Tensor:
    """Every gap between rows cut into equal parts, [(P−1)·parts + 1, …]: of a path, of its arc
    positions, of its values."""
    steps = torch.arange(parts, dtype=rows.dtype, device=rows.device)
    ones = [1] * (rows.ndim - 1)
    fractions = steps.div(parts).view(1, parts, *ones)
    before = rows[:-1, None]
    after = rows[1:, None]
    between = torch.lerp(before, after, fractions)  # [P−1, parts, …]
    return torch.cat([between.flatten(0, 1), rows[-1:]])
