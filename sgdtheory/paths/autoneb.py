"""AutoNEB: a low path between two minima, by cycles of inserting pivots and letting the band descend."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import inf, isfinite, nan
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.cloud import arc_positions, points_at, subdivide
from sgdtheory.faults import Failure
from sgdtheory.kinds import BelowOne, Count, Fraction, NonNegative, Positive, Whole
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.landscape import values as objective
from sgdtheory.learning_rate import is_measured
from sgdtheory.paths.band import ElasticBand, insertion
from sgdtheory.sampling import Sampling
from sgdtheory.schedule import Constant, Schedule
from sgdtheory.sgd import SGD, Coupling, Diverged
from sgdtheory.streams import key, stream

Evaluate: TypeAlias = Callable[[Cloud], Tensor]  # points [T, n] → values [T], e.g. training loss with recomputed statistics
Descend: TypeAlias = Callable[[str, SGD, Cloud, Coupling, int], Cloud]  # stage's name, loop, start, coupling, seed → last cloud
CHUNK = 16  # points of a path that exist at once while it is evaluated
LINE = 16  # parts of the straight line that its barrier is taken from
ALONG = (0.2, 0.4, 0.6, 0.8)  # of the straight line: where a learning rate is measured
# Times that rate: a band leaves the steepest of those points in its first steps. Of 1, 2, 4 on two pairs each
# of ResNet-8, DenseNet, CNN and MLP on digits, 2 ends lower than 1 or sooner; at 4 the MLP's first cycles rise.
BAND = 2.0
LOWER = 1 / 3  # of the lowest rate so far: the next attempt's where this one rose
CLEAR = 10  # times the higher end's value: the straight line's barrier where a risen loss is told from noise
HOPELESS = 0.2  # of the straight line's barrier: an attempt that has risen to more is given up


@dataclass(frozen=True)
class Cycle:
    """Insert pivots, then descend. The first cycle of a path places `insert` of them evenly on the straight line; later ones
    add at most `insert`, where the path rises between pivots. `rate`: factor on the learning rate."""

    steps: Count
    insert: Whole = 2
    rate: Positive = 1.0
    schedule: Schedule = field(default_factory=Constant)
    climb: bool = False


class Search(NamedTuple):
    """Where a search for a path stands between two cycles: enough to go on from, exactly."""

    attempt: int  # which attempt is under way, or comes next
    cycle: int  # its cycles that are done
    path: Tensor  # [P, n], of the last cycle
    values: Tensor  # dense values along it, at `subdivide(path, sub_points + 1)`
    end_values: Tensor  # [2]
    straight: float  # barrier of the straight line over the higher end
    best: Tensor  # [P, n], the lowest path of the attempts that are over; the straight line before that
    best_excess: float
    best_multiple: float  # of the learning rate it was found with
    learning_rate: float  # what multiples are of; measured once
    multiple: float  # of the attempt under way, or the next
    lowest_multiple: float  # of all attempts so far
    too_high: float | None  # the lowest multiple of those that rose
    rose: bool  # whether a cycle of this attempt ended above where it began
    gradients: int  # spent so far, one a pivot and step
    evaluations: int  # points evaluated so far

    def tensors(self) -> dict[str, Tensor]:
        """Copies: `path` and `best` may be one tensor, and safetensors stores none twice."""
        return {name: x.clone() for name, x in self._asdict().items() if isinstance(x, Tensor)}

    def facts(self) -> dict[str, Any]:
        return {name: x for name, x in self._asdict().items() if not isinstance(x, Tensor)}


class Path(NamedTuple):
    """What was found: the lowest path of all attempts, and its values at arc positions t."""

    pivots: Tensor  # [P, n]
    t: Tensor  # [D]
    values: Tensor  # [D]
    excess: float  # the highest value over the higher end's: the barrier
    straight: float  # the same of the straight line
    gradients: int
    evaluations: int
    attempts: int
    learning_rate: float = nan  # that of its attempt


@dataclass(frozen=True)
class AutoNEB:
    """Cycles of (insert, descend) on an elastic band, tried with several learning rates (Draxler et al. 2018, 1803.00885, 3.2).

    Each of `multiples` × `learning_rate` is an attempt of its own; "auto" is the landscape's, and where it has none `BAND`
    times what is measured along the straight line (see `SGD`). While the lowest
    excess, the dense maximum over the higher end, is above `retry_above` of the straight line's barrier, up to `retries` more
    attempts use the best rate with other random numbers. An excess of at most `enough` of that barrier ends the search: the
    cycles before the last are left out, and so are the attempts that have not begun. The lowest path is kept.

    After an attempt in which a cycle ended higher than it began, or diverged, none takes that rate or
    a higher one again: while all have risen, the next takes the next of `multiples` if that is lower
    still, else a third of the lowest. Where there may be another, an attempt is given up at once when the pivots' mean loss
    is above the straight line's highest, and after a cycle that rose to more than a fifth of its
    barrier.

    `threshold`: departure from linear, in units of the path's range of values, that asks for a pivot. `sub_points` in each gap
    are evaluated between cycles, `final_sub_points` at the end. Arc positions are those at a cycle's start; velocity begins
    at zero in every cycle. `stiffness`: of the springs, None: infinite (see `ElasticBand`). `nudge`: how far the middle of the
    first band is off the straight line, in units of its length, in one random direction: symmetry may hold a band on a ridge.
    """

    cycles: Annotated[tuple[Cycle, ...], MinLen(1)]
    batch_size: Annotated[int, Ge(1)] | None
    learning_rate: Positive | Literal["auto"] = "auto"
    multiples: Annotated[tuple[Positive, ...], MinLen(1)] = (1.0,)
    momentum: BelowOne = 0.9
    sampling: Sampling = "iid"
    stiffness: Positive | None = None
    threshold: Fraction = 0.05
    sub_points: Count = 3
    final_sub_points: Count = 9
    nudge: NonNegative = 1e-2
    enough: Fraction = 0.0
    retry_above: Fraction = 0.01
    retries: Whole = 1

    def cost(self) -> tuple[int, int, int]:
        """Pivot gradients, evaluated points and pivots of an edge whose first learning rate is enough: the MLP takes two."""
        pivots = list(accumulate(cycle.insert for cycle in self.cycles))
        gradients = sum(cycle.steps * count for cycle, count in zip(self.cycles, pivots, strict=True))
        points = LINE + 1 + sum((count + 1) * (self.sub_points + 1) for count in pivots)
        return gradients, points + (pivots[-1] + 1) * (self.final_sub_points + 1), pivots[-1]

    def on_formula(self) -> "AutoNEB":
        """The same where there are no examples: what is asked there is the barrier to three digits, and steps cost nothing.

        No noise, a stable learning rate, five times the pivots at first, a pivot wherever one helps, 200 steps at least, and
        a climbing image at the end. One attempt and every cycle of it, as a high barrier is no sign of failure there.
        Momentum is ½ at most: along a steep path of close pivots each one's tangent follows its uphill neighbour, the waves
        that run down the band so have complex rates, and at 0.9 they grow (Müller–Brown: |F| = 65 instead of 0).
        """
        last = len(self.cycles) - 1
        cycles = tuple(
            Cycle(max(200 if i < last else 600, c.steps), c.insert if i else 5 * c.insert, climb=i == last)
            for i, c in enumerate(self.cycles)
        )
        return replace(
            self,
            cycles=cycles,
            batch_size=None,
            learning_rate="auto",
            multiples=(1.0,),
            momentum=min(self.momentum, 0.5),
            sampling="iid",
            threshold=min(self.threshold, 1e-3),
            enough=0.0,
            retries=0,
        )

    def run(
        self,
        landscape: Landscape,
        ends: Cloud,
        seed: int,
        evaluate: Evaluate | None = None,
        descend: Descend | None = None,
        state: Search | None = None,
    ) -> Iterator[Search]:
        """The search between ends [2, n], a state after each cycle that is left. Going on from one gives the same bits.

        `evaluate` defaults to the objective, `descend` to running SGD to its end.
        """
        evaluate = evaluate or (lambda points: objective(landscape, points))
        descend = descend or (lambda _, sgd, cloud, band, key: _run_to_end(landscape, sgd, cloud, band, key))
        state = self._begin(landscape, ends, seed, evaluate) if state is None else state
        end_losses = objective(landscape, ends)
        while not self._over(state):
            state = self._cycle(state, ends, end_losses, seed, evaluate, descend)
            yield state

    def finish(self, state: Search, evaluate: Evaluate) -> Path:
        """The lowest path, evaluated densely; Failure where every attempt diverged."""
        if not isfinite(state.best_excess):
            raise Failure("no finite path was found at any learning rate; lower autoneb.learning_rate")
        parts = self.final_sub_points + 1
        t = subdivide(arc_positions(state.best), parts)
        found = dense_values(state.best, parts, state.end_values, evaluate)
        spent = state.evaluations + len(t) - 2
        rate = state.learning_rate * state.best_multiple
        return Path(state.best, t, found, _excess(found), state.straight, state.gradients, spent, state.attempt, rate)

    def find(self, landscape: Landscape, ends: Cloud, seed: int, evaluate: Evaluate | None = None) -> Path:
        """From nothing to the path, in one call."""
        evaluate = evaluate or (lambda points: objective(landscape, points))
        *_, last = self.run(landscape, ends, seed, evaluate)
        return self.finish(last, evaluate)

    def _begin(self, landscape: Landscape, ends: Cloud, seed: int, evaluate: Evaluate) -> Search:
        end_values = _valued(evaluate, ends)
        line = dense_values(ends, LINE, end_values, evaluate)
        sgd = self._sgd(self.cycles[0], self.learning_rate)
        measured = self.learning_rate == "auto" and is_measured(landscape)
        rate = rate_along(landscape, sgd, ends, seed) * (BAND if measured else 1.0)
        first = self.multiples[0]
        return Search(
            0, 0, ends, line, end_values, _excess(line), ends, inf, first, rate, first, first, None, False, 0, LINE + 1
        )

    def _sgd(self, cycle: Cycle, rate: float | Literal["auto"]) -> SGD:
        return SGD(cycle.steps, self.batch_size, rate, cycle.schedule, self.momentum, sampling=self.sampling)

    def _over(self, state: Search) -> bool:
        if state.cycle or state.attempt == 0:
            return False
        if state.best_excess <= self.enough * state.straight:
            return True
        tries = len(self.multiples)
        more = self.retries if state.best_excess > self.retry_above * state.straight else 0
        return state.attempt >= tries + more

    def _cycle(self, state: Search, ends: Cloud, end_losses: Tensor, seed: int, evaluate: Evaluate, descend: Descend) -> Search:
        attempt, number = state.attempt, state.cycle
        cycle = self.cycles[number]
        if number == 0:
            path, targets = self._line(ends, cycle.insert, stream(seed, "nudge", attempt))
        else:
            path, targets = insertion(state.path, state.values, cycle.insert, self.threshold)
        before = _excess(state.values) if number else state.straight
        may_stop = self._may_stop(state)
        ceiling = float(end_losses.max()) + state.straight if may_stop else inf
        band = ElasticBand(ends, end_losses, targets, self.stiffness or inf, cycle.climb, ceiling=ceiling)
        sgd = self._sgd(cycle, state.learning_rate * state.multiple * cycle.rate)
        name, taken = f"attempt-{attempt}-cycle-{number}", cycle.steps
        try:
            cloud = band.place(descend(name, sgd, path[1:-1], band, key(seed, name)))
        except Failure as failure:  # too high a learning rate for this landscape: another attempt may do better
            cloud = torch.full_like(path[1:-1], torch.nan)
            taken = failure.steps if isinstance(failure, Diverged) else taken
        path = band.path(cloud)
        found = dense_values(path, self.sub_points + 1, state.end_values, evaluate)
        excess = _excess(found)
        state = state._replace(
            cycle=number + 1,
            path=path,
            values=found,
            rose=state.rose or not excess <= before,
            gradients=state.gradients + taken * cloud.shape[0],
            evaluations=state.evaluations + len(found) - 2,
        )
        if excess <= self.enough * state.straight and number < len(self.cycles) - 1:
            state = state._replace(cycle=len(self.cycles) - 1)
        hopeless = may_stop and excess > max(before, HOPELESS * state.straight)
        if state.cycle == len(self.cycles) or not isfinite(excess) or hopeless:
            state = self._next(state, excess)
        return state

    def _may_stop(self, state: Search) -> bool:
        """Whether an attempt may be given up before its end: where there may be another, and the straight line is so much
        higher than its ends that no mini-batch looks like it by chance."""
        return len(self.multiples) + self.retries > 1 and state.straight > CLEAR * float(state.end_values.max())

    def _next(self, state: Search, excess: float) -> Search:
        """The attempt is over: the best path so far, and the rate of the next."""
        if excess < state.best_excess:
            state = state._replace(best=state.path, best_excess=excess, best_multiple=state.multiple)
        attempt = state.attempt + 1
        lowest, too_high = state.lowest_multiple, min(state.too_high or inf, state.multiple if state.rose else inf)
        planned = self.multiples[attempt] if attempt < len(self.multiples) else None
        if planned is not None and planned < (lowest if lowest >= too_high else too_high):
            multiple = planned
        elif lowest >= too_high:  # all have risen
            multiple = LOWER * lowest
        else:
            multiple = state.best_multiple if state.best_multiple < too_high else lowest
        return state._replace(
            attempt=attempt,
            cycle=0,
            multiple=multiple,
            lowest_multiple=min(multiple, lowest),
            too_high=too_high if isfinite(too_high) else None,
            rose=False,
        )

    def _line(self, ends: Cloud, pivots: int, source: torch.Generator) -> tuple[Cloud, Tensor]:
        """Evenly spaced pivots on the straight line, bent by sin(πt): all to one side, or halves would part on a ridge."""
        t = torch.linspace(0, 1, pivots + 2, dtype=torch.float64, device=ends.device)
        bend = torch.randn(ends.shape[1], generator=source, dtype=torch.float64).to(ends)
        size = self.nudge * (ends[1] - ends[0]).norm() / bend.norm()
        path = points_at(ends, t) + size * torch.sin(torch.pi * t).to(ends)[:, None] * bend
        path[[0, -1]] = ends
        return path, arc_positions(path)


def rate_along(landscape: Landscape, sgd: SGD, ends: Cloud, seed: int) -> float:
    """The learning rate as a number, one that suits the whole straight line between ends [2, n]."""
    line = points_at(ends, torch.tensor(ALONG, dtype=torch.float64, device=ends.device))
    return float(sgd.settled(landscape, line, seed).learning_rate)


def dense_values(path: Tensor, parts: int, end_values: Tensor, evaluate: Evaluate) -> Tensor:
    """Values at `subdivide(path, parts)`, [(P−1)·parts + 1], float64; what is known of the ends is not asked again."""
    arcs = arc_positions(path)
    inside = subdivide(arcs, parts)[1:-1]
    found = [_valued(evaluate, points_at(path, t, arcs)) for t in inside.split(CHUNK)]
    return torch.cat([end_values[:1], *found, end_values[1:]])


def _valued(evaluate: Evaluate, points: Tensor) -> Tensor:
    return evaluate(points).detach().double().to(points.device)


def _excess(values: Tensor) -> float:
    """The highest value over the higher end's; inf where a value is not finite."""
    return float(values.max() - values[[0, -1]].max()) if bool(torch.isfinite(values).all()) else inf


def _run_to_end(landscape: Landscape, sgd: SGD, cloud: Cloud, coupling: Coupling, seed: int) -> Cloud:
    for state in sgd.run(landscape, cloud, seed, coupling):
        cloud = state.cloud
    return cloud
