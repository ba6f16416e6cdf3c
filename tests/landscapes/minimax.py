"""The barrier between two points found in two plain ways, to hold against the one that a landscape
states."""

from heapq import heappop, heappush
from itertools import product

import torch
from torch import Tensor

from sgdtheory.products import top_curvature
from sgdtheory.protocol import Landscape, value_and_grad, values
from sgdtheory.rng import stream


def by_flooding(
    landscape: Landscape, ends: Tensor, low: Tensor, high: Tensor, cells: int
) -> tuple[float, float]:
    """The lowest level at which water from one end [n] reaches the other on a grid, n ≤ 2; and the
    grid's step.

    Prim's algorithm, neighbours across corners too. A path along which L ≤ V, moved to the nodes
    next to it, is displaced by at most step·√n/2, and climbs to V + h·step²·n/8 at a saddle whose
    curvatures are below h; and a path of nodes, joined by straight pieces of step·√n, exceeds its
    nodes by as much. So |flood − V| ≤ h·step²/4 to second order, from above and from below.
    """
    n = ends.shape[1]
    axes = [
        torch.linspace(float(a), float(b), cells, dtype=torch.float64)
        for a, b in zip(low, high, strict=True)
    ]
    nodes = torch.cartesian_prod(*axes).reshape(-1, n)
    levels = values(landscape, nodes).tolist()
    source, target = (int((nodes - end).norm(dim=1).argmin()) for end in ends)
    moves = [move for move in product((-1, 0, 1), repeat=n) if any(move)]
    waiting, seen, level = [(levels[source], source)], {source}, -torch.inf
    while waiting:
        height, node = heappop(waiting)
        level = max(level, height)
        if node == target:
            break
        place = [node // cells ** (n - 1 - i) % cells for i in range(n)]
        for move in moves:
            there = [p + m for p, m in zip(place, move, strict=True)]
            if all(0 <= p < cells for p in there):
                index = sum(p * cells ** (n - 1 - i) for i, p in enumerate(there))
                if index not in seen:
                    seen.add(index)
                    heappush(waiting, (levels[index], index))
    return level, max(float(axis[1] - axis[0]) for axis in axes)


def by_string(
    landscape: Landscape, ends: Tensor, pivots: int = 25, steps: int = 1500
) -> tuple[float, float]:
    """The highest point of a path between ends [2, n] relaxed by the simplified string method, and
    its length ratio.

    E, Ren & Vanden-Eijnden 2007: descend, then spread evenly. It starts from the straight line with
    a random bend, as symmetry may hold the line on a ridge. The polyline is a path, so what is
    returned is never below the barrier.
    """
    steepest = max(top_curvature(landscape, end, stream(0, "curvature")) for end in ends)
    generator = stream(0, "bend")
    t = torch.linspace(0, 1, pivots, dtype=torch.float64)[:, None]
    bend = torch.randn(ends.shape[1], generator=generator, dtype=torch.float64)
    chord = ends[1] - ends[0]
    path = ends[0] + t * chord + torch.sin(torch.pi * t) * bend / bend.norm() * chord.norm() / 4
    for _ in range(steps):
        _, gradients = value_and_grad(landscape, path[1:-1])
        path[1:-1] -= 0.3 / steepest * gradients
        path = spread(path, pivots)
    length = (path[1:] - path[:-1]).norm(dim=1).sum()
    return float(values(landscape, spread(path, 40 * pivots)).max()), float(length / chord.norm())


def spread(path: Tensor, count: int) -> Tensor:
    """`count` points at equal arc lengths along a polyline [R, n]."""
    arc = torch.cat([path.new_zeros(1), (path[1:] - path[:-1]).norm(dim=1).cumsum(0)])
    at = torch.linspace(0, 1, count, dtype=path.dtype) * arc[-1]
    right = torch.searchsorted(arc, at).clamp(1, len(arc) - 1)
    share = (at - arc[right - 1]) / (arc[right] - arc[right - 1])
    return torch.lerp(path[right - 1], path[right], share[:, None])
