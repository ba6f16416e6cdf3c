"""Dynamic string sampling: a chain of points below a threshold, with new ones trained where a
straight piece is above it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.optim.sgd import SGD, SGDState, Uncoupled
from sgdtheory.paths.polyline import gaps, length, points_at, straight_length
from sgdtheory.protocol import Cloud, Landscape, TensorsByName, values
from sgdtheory.rng import key, stream
from sgdtheory.runs.folder import Json
from sgdtheory.runs.tensors import State


class Descent(NamedTuple):
    """Where training to a target ended, each point as soon as it was there."""

    cloud: Cloud  # [P, n]
    losses: Tensor  # [P], of the whole objective, or what judges instead
    gradients: int  # one a point and step
    evaluations: int  # one a point and look


class String(NamedTuple):
    """A chain of straight pieces between two points, as far as it was found: while it grows, enough
    to go on from, exactly."""

    path: Tensor  # [B + 2, n], the ends included
    highest: float  # the largest loss that was seen on it
    gradients: int
    evaluations: int
    # why its highest point is above the threshold; empty where it is not, None while it grows
    why: str | None
    # [B + 1, 2] float64, of each piece: the highest loss seen inside, and where on the piece
    tops: Tensor
    depth: int = 0  # how often all pieces that were too high were split

    def tensors(self) -> TensorsByName:
        """`path` [B + 2, n] and `tops` [B + 1, 2]."""
        return {"path": self.path, "tops": self.tops}

    def facts(self) -> Json:
        return {name: x for name, x in self._asdict().items() if not isinstance(x, Tensor)}

    @classmethod
    def read(cls, kept: State | None, device: torch.device) -> "String | None":
        """The string as a unit has kept it: `path` [B + 2, n] and `tops` [B + 1, 2]."""
        if kept is None:
            return None
        tensors, facts = kept
        known = {name: x for name, x in facts.items() if name in cls._fields}
        return cls(path=tensors["path"].to(device), tops=tensors["tops"].cpu(), **known)

    @property
    def beads(self) -> int:
        """B, the points that had to be put between the ends."""
        return len(self.path) - 2

    @property
    def length_ratio(self) -> float:
        """|path| / |θ₁ − θ₀|, the normalised length of 1611.01540, 3.1: 1 on a convex landscape."""
        return length(self.path) / straight_length(self.path)


# called now and then: tells progress, and raises where a stop was asked for
Watch = Callable[[], None]
Judge = Callable[[Cloud], Tensor]  # the losses [P] of points that thresholds are compared with


def descend_to(
    landscape: Landscape,
    sgd: SGD,
    start: Cloud,
    target: float,
    every: int,
    seed: int,
    watch: Watch = lambda: None,
    judge: Judge | None = None,
) -> Descent:
    """Train each point of a cloud [P, n] until its loss is at most `target`, looked at `every` so
    many steps; or to the end.

    All points see the same mini-batches, so that what becomes of one does not depend on which
    others are there. `judge` gives the losses that are looked at, by default the whole objective.
    """
    judge = judge or (lambda points: values(landscape, points))
    sgd = sgd.resolve_learning_rate(landscape, start, seed)
    cloud = start.clone()
    losses = judge(start)
    gradients = 0
    evaluations = len(start)
    is_high = ~(losses <= target)
    left = is_high.nonzero()[:, 0]
    points = cloud[left]
    state = SGDState(0, points, sgd.init_state(points))
    while len(left) and state.step < sgd.length:
        before = state.step
        steps = min(sgd.length, before + every)
        until_then = replace(sgd, steps=steps)
        *_, state = until_then.run(landscape, state, seed, Uncoupled(shared_batches=True))
        gradients += len(left) * (state.step - before)
        cloud[left] = state.cloud
        losses[left] = judge(state.cloud)
        evaluations += len(left)
        newest = losses[left]
        going = torch.isfinite(newest) & (newest > target)
        left = left[going]
        state = SGDState(state.step, state.cloud[going], state.velocity[going])
        watch()
    return Descent(cloud, losses, gradients, evaluations)


@dataclass(frozen=True)
class StringSampling:
    """Greedy dynamic string sampling (Freeman & Bruna 2017, 1611.01540, Algorithm 1): a path on
    which L ≤ L₀.

    Where the straight line between two neighbours rises above L₀, a bead is put on it, trained down
    to αL₀, and both halves are looked at in their turn. All pieces of one depth that are too high
    are trained together, as one cloud. `sgd` trains a bead, for its `steps` at most; its loss is
    looked at `every` so many. `start`: worst, the highest of the points inside the piece that are
    evaluated, or middle. `alpha` < 1 helps convergence (3.2). A path that is found is a certificate
    up to what lies between evaluated points; one that is not found proves nothing.
    """

    sgd: SGD
    alpha: Annotated[float, Ge(0), Lt(1)] = 0.9
    start: Literal["worst", "middle"] = "worst"
    points: PositiveInt = 9
    every: PositiveInt = 5
    most_beads: PositiveInt = 200

    def grow(
        self,
        landscape: Landscape,
        start: Cloud,
        threshold: float,
        seed: int,
        watch: Watch = lambda: None,
    ) -> String:
        """Train both ends from a start [2, n] down to αL₀, then find the string between them: all
        of Algorithm 1."""
        ends = descend_to(
            landscape, self.sgd, start, self.alpha * threshold, self.every, key(seed, "ends"), watch
        )
        highest = float(ends.losses.max())
        if not highest <= threshold:
            why = f"an end came down to {highest:.3g} only"
            return String(
                ends.cloud, highest, ends.gradients, ends.evaluations, why, torch.zeros(1, 2)
            )
        string = self.find(landscape, ends.cloud, threshold, seed, watch)
        spent = string.gradients + ends.gradients
        seen = string.evaluations + ends.evaluations
        return string._replace(gradients=spent, evaluations=seen)

    def find(
        self,
        landscape: Landscape,
        ends: Cloud,
        threshold: float,
        seed: int,
        watch: Watch = lambda: None,
    ) -> String:
        """The string between ends [2, n], both of them at or below the threshold L₀."""
        target = self.alpha * threshold
        *_, string = self.grown(landscape, ends, threshold, target, seed, watch)
        return string

    def grown(
        self,
        landscape: Landscape,
        ends: Cloud,
        threshold: float,
        target: float,
        seed: int,
        watch: Watch = lambda: None,
        string: String | None = None,
        nudge: float = 0.0,
        judge: Judge | None = None,
    ) -> Iterator[String]:
        """The string between `ends` [2, n] after each depth that is left, its beads trained down to
        `target`; from one on to the same bits.

        `nudge`: how far beads begin off their pieces, in units of these, in a random direction
        each: on a line of symmetry no force may take them off it. `judge`: see `descend_to`; the
        threshold and the target are in its units.
        """
        judge = judge or (lambda points: values(landscape, points))
        if string is None:
            tops = self._tops(judge, ends, [0], watch)
            higher_end = float(judge(ends).max())
            highest = max(higher_end, float(tops[0, 0]))
            string = String(ends, highest, 0, self.points + 2, None, tops)
        while string.why is None:
            string = self._deeper(landscape, judge, string, threshold, target, seed, watch, nudge)
            yield string

    def _deeper(
        self,
        landscape: Landscape,
        judge: Judge,
        string: String,
        threshold: float,
        target: float,
        seed: int,
        watch: Watch,
        nudge: float,
    ) -> String:
        """One more bead in every piece that is too high; a string that is over where there is none,
        or no bead can be had."""
        path = string.path
        tops = string.tops
        heights, places = tops.T.tolist()
        high = [k for k, top in enumerate(heights) if not top <= threshold]
        highest = float(tops[:, 0].max())
        if not high:
            highest_bead = float(judge(path).max())
            return string._replace(highest=max(highest_bead, highest), why="")
        string = string._replace(highest=highest)
        if string.beads + len(high) > self.most_beads:
            return string._replace(why=f"more than {self.most_beads} beads would be needed")
        beads = []
        for k in high:
            begin = places[k] if self.start == "worst" else 0.5
            beads.append(torch.lerp(path[k], path[k + 1], begin))
        starts = torch.stack(beads)
        if nudge:
            lengths = gaps(path).to(starts)[high]
            starts = _nudged(starts, lengths, nudge, stream(seed, "nudge", string.depth))
        depth_seed = key(seed, "depth", string.depth)
        descent = descend_to(
            landscape, self.sgd, starts, target, self.every, depth_seed, watch, judge
        )
        looked_at = descent.evaluations + len(high) * 2 * self.points
        string = string._replace(
            gradients=string.gradients + descent.gradients,
            evaluations=string.evaluations + looked_at,
        )
        worst = float(descent.losses.max())
        if not worst <= threshold:
            return string._replace(why=f"a bead came down to {worst:.3g} only")
        path = _inserted(path, descent.cloud, high)
        halves = []  # by their new numbers
        for i, k in enumerate(high):
            halves += [k + i, k + i + 1]
        tops = _inserted(tops, tops[high], high)
        tops[halves] = self._tops(judge, path, halves, watch)
        return string._replace(path=path, tops=tops, depth=string.depth + 1)

    def _tops(self, judge: Judge, path: Tensor, pieces: list[int], watch: Watch) -> Tensor:
        """The highest loss inside each of some pieces, and where, [pieces, 2] float64; NaN counts
        as infinitely high."""
        count = self.points + 1
        t = torch.arange(1, count, dtype=torch.float64, device=path.device) / count
        tops = []
        for k in pieces:
            inside = points_at(path[k : k + 2], t)
            losses = judge(inside).nan_to_num(torch.inf)
            at = losses.argmax()
            tops.append((float(losses.max()), float(t[at])))
            watch()
        return torch.tensor(tops, dtype=torch.float64)


def _nudged(starts: Cloud, lengths: Tensor, nudge: float, source: torch.Generator) -> Cloud:
    """Starts [k, n] off their pieces by `nudge` of these lengths [k], in a random direction
    each."""
    away = torch.randn(starts.shape, generator=source).to(starts)
    norms = torch.linalg.vector_norm(away, dim=1, keepdim=True)
    offsets: Tensor = nudge * lengths[:, None] * away / norms
    return starts + offsets


def _inserted(rows: Tensor, new: Tensor, after: list[int]) -> Tensor:
    """The rows with a new one behind each of some of them."""
    joined: list[Tensor] = []
    follows = dict(zip(after, new, strict=True))
    for k, row in enumerate(rows):
        joined.append(row)
        if k in follows:
            joined.append(follows[k])
    return torch.stack(joined)
