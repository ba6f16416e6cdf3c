"""Dynamic string sampling: a chain of points below a threshold, with new ones trained where a straight piece is above it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from sgdtheory.cloud import length, points_at, straight_length
from sgdtheory.kinds import Count
from sgdtheory.landscape import Cloud, Landscape, values
from sgdtheory.sgd import SGD, Free, SGDState
from sgdtheory.streams import key


class Descent(NamedTuple):
    """Where training to a target ended, each point as soon as it was there."""

    cloud: Cloud  # [P, n]
    losses: Tensor  # [P], of the whole objective
    gradients: int  # one a point and step
    evaluations: int  # one a point and look


class String(NamedTuple):
    """A chain of straight pieces between two points, as far as it was found."""

    path: Tensor  # [B + 2, n], the ends included
    highest: float  # the largest loss that was seen on it
    gradients: int
    evaluations: int
    why: str  # why its highest point is above the threshold; empty where it is not

    @property
    def beads(self) -> int:
        """B, the points that had to be put between the ends."""
        return len(self.path) - 2

    @property
    def length_ratio(self) -> float:
        """|path| / |θ₁ − θ₀|, the normalised length of 1611.01540, 3.1: 1 on a convex landscape."""
        return length(self.path) / straight_length(self.path)


Watch = Callable[[], None]  # called now and then: tells progress, and raises where a stop was asked for


def descend_to(
    landscape: Landscape, sgd: SGD, start: Cloud, target: float, every: int, seed: int, watch: Watch = lambda: None
) -> Descent:
    """Train each point of a cloud [P, n] until its loss is at most `target`, looked at `every` so many steps; or to the end.

    All points see the same mini-batches, so that what becomes of one does not depend on which others are there.
    """
    sgd = sgd.settled(landscape, start, seed)
    cloud, losses, gradients, evaluations = start.clone(), values(landscape, start), 0, len(start)
    left = (~(losses <= target)).nonzero()[:, 0]
    state = SGDState(0, cloud[left], sgd.at_rest(cloud[left]))
    while len(left) and state.step < sgd.steps:
        last = replace(sgd, steps=min(sgd.steps, state.step + every))
        before = state.step
        *_, state = last.run(landscape, state, seed, Free(shared_batches=True))
        gradients += len(left) * (state.step - before)
        cloud[left], losses[left] = state.cloud, values(landscape, state.cloud)
        evaluations += len(left)
        going = torch.isfinite(losses[left]) & (losses[left] > target)
        left, state = left[going], SGDState(state.step, state.cloud[going], state.velocity[going])
        watch()
    return Descent(cloud, losses, gradients, evaluations)


@dataclass(frozen=True)
class StringSampling:
    """Greedy dynamic string sampling (Freeman & Bruna 2017, 1611.01540, Algorithm 1): a path on which L ≤ L₀.

    Where the straight line between two neighbours rises above L₀, a bead is put on it, trained down to αL₀, and both halves
    are looked at in their turn. All pieces of one depth that are too high are trained together, as one cloud. `sgd` trains
    a bead, for its `steps` at most; its loss is looked at `every` so many. `start`: worst, the highest of the points inside
    the piece that are evaluated, or middle. `alpha` < 1 helps convergence (3.2). A path that is found is a certificate up to
    what lies between evaluated points; one that is not found proves nothing.
    """

    sgd: SGD
    alpha: Annotated[float, Ge(0), Lt(1)] = 0.9
    start: Literal["worst", "middle"] = "worst"
    points: Count = 9
    every: Count = 5
    most_beads: Count = 200

    def grow(self, landscape: Landscape, start: Cloud, threshold: float, seed: int, watch: Watch = lambda: None) -> String:
        """Train both ends from a start [2, n] down to αL₀, then find the string between them: all of Algorithm 1."""
        ends = descend_to(landscape, self.sgd, start, self.alpha * threshold, self.every, key(seed, "ends"), watch)
        highest = float(ends.losses.max())
        if not highest <= threshold:
            return String(ends.cloud, highest, ends.gradients, ends.evaluations, f"an end came down to {highest:.3g} only")
        string = self.find(landscape, ends.cloud, threshold, seed, watch)
        spent, seen = string.gradients + ends.gradients, string.evaluations + ends.evaluations
        return string._replace(gradients=spent, evaluations=seen)

    def find(self, landscape: Landscape, ends: Cloud, threshold: float, seed: int, watch: Watch = lambda: None) -> String:
        """The string between ends [2, n], both of them at or below the threshold L₀."""
        t = torch.arange(1, self.points + 1, dtype=torch.float64, device=ends.device) / (self.points + 1)
        path, gradients = ends, 0
        tops = self._tops(landscape, path, [0], t, watch)  # of each piece: (the loss at its top, where that is)
        evaluations, depth = len(t) + 2, 0
        highest = max(float(values(landscape, ends).max()), tops[0][0])
        while high := [piece for piece, (top, _) in enumerate(tops) if not top <= threshold]:
            highest = max(top for top, _ in tops)
            if len(path) - 2 + len(high) > self.most_beads:
                return String(path, highest, gradients, evaluations, f"more than {self.most_beads} beads would be needed")
            starts = torch.stack([torch.lerp(path[k], path[k + 1], tops[k][1]) for k in high])
            own = key(seed, "depth", depth)
            found = descend_to(landscape, self.sgd, starts, self.alpha * threshold, self.every, own, watch)
            gradients += found.gradients
            evaluations += found.evaluations + len(high) * 2 * len(t)
            worst = float(found.losses.max())
            if not worst <= threshold:
                return String(path, highest, gradients, evaluations, f"a bead came down to {worst:.3g} only")
            path = _inserted(path, found.cloud, high)
            new = [k + i + side for i, k in enumerate(high) for side in (0, 1)]  # the halves, by their new numbers
            tops = _renumbered(tops, high, self._tops(landscape, path, new, t, watch))
            depth += 1
        highest = max([float(values(landscape, path).max()), *(top for top, _ in tops)])
        return String(path, highest, gradients, evaluations, "")

    def _tops(
        self, landscape: Landscape, path: Tensor, pieces: list[int], t: Tensor, watch: Watch
    ) -> list[tuple[float, float]]:
        """The highest loss inside each of some pieces, and where a bead begins; NaN counts as infinitely high."""
        found = []
        for k in pieces:
            inside = values(landscape, points_at(path[k : k + 2], t)).nan_to_num(torch.inf)
            at = float(t[inside.argmax()]) if self.start == "worst" else 0.5
            found.append((float(inside.max()), at))
            watch()
        return found


def _inserted(path: Tensor, beads: Cloud, after: list[int]) -> Tensor:
    """The path with one bead behind each of some of its points."""
    rows: list[Tensor] = []
    new = dict(zip(after, beads, strict=True))
    for k, point in enumerate(path):
        rows += [point, new[k]] if k in new else [point]
    return torch.stack(rows)


def _renumbered(
    tops: list[tuple[float, float]], split: list[int], halves: list[tuple[float, float]]
) -> list[tuple[float, float]]:
    """The tops of all pieces after some were split in two."""
    pairs = dict(zip(split, zip(halves[::2], halves[1::2], strict=True), strict=True))
    return [top for k, old in enumerate(tops) for top in pairs.get(k, (old,))]
