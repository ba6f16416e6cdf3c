"""AutoNEB: a low path between two minima, by cycles of inserting pivots and letting the band
descend."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import inf, isfinite, nan
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import (
    BelowOne,
    Fraction,
    NonNegative,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from sgdtheory.errors import RunError
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.landscape import values as objective
from sgdtheory.optim.learning_rate import is_measured
from sgdtheory.optim.sampling import Sampling
from sgdtheory.optim.schedule import Constant, Schedule
from sgdtheory.optim.sgd import SGD, Coupling, Diverged
from sgdtheory.paths.band import ElasticBand, insertion
from sgdtheory.paths.polyline import arc_positions, points_at, subdivide
from sgdtheory.rng import key, stream

# points [T, n] → values [T], e.g. training loss with recomputed statistics
Evaluate: TypeAlias = Callable[[Cloud], Tensor]
# two points [2, n] → the standard error of the difference of their values
Error: TypeAlias = Callable[[Cloud], float]
# stage's name, loop, start, coupling, seed → last cloud
Descend: TypeAlias = Callable[[str, SGD, Cloud, Coupling, int], Cloud]
CHUNK = 16  # points of a path that exist at once while it is evaluated
LINE = 16  # parts of the straight line that its barrier is taken from
ALONG = (0.2, 0.4, 0.6, 0.8)  # of the straight line: where a learning rate is measured
# Times that rate: a band leaves the steepest of those points in its first steps. Of 1, 2, 4 on two
# pairs each of ResNet-8, DenseNet, CNN and MLP on digits, 2 ends lower than 1 or sooner; at 4 the
# MLP's first cycles rise.
BAND = 2.0
LOWER = 1 / 3  # of the rate: what follows a cycle that ended higher than it began
# times the higher end's value: the straight line's barrier where a risen loss is told from noise
CLEAR = 10
# of the straight line's barrier: a cycle that rose to more is undone; less, the next ones bring
# down again
UNDONE = 0.1
MOST_UNDONE = 2  # cycles of an attempt that are done again
SIGMAS = (
    2.0  # standard errors of the excess within which a path is flat, as far as these examples tell
)


@dataclass(frozen=True)
class Cycle:
    """Insert pivots, then descend. The first cycle of a path places `insert` of them evenly on the
    straight line; later ones add at most `insert`, where the path rises between pivots. `rate`:
    factor on the learning rate."""

    steps: PositiveInt
    insert: NonNegativeInt = 2
    rate: PositiveFloat = 1.0
    schedule: Schedule = field(default_factory=Constant)
    climb: bool = False


class AutoNEBState(NamedTuple):
    """Where a search for a path stands between two cycles: enough to go on from, exactly."""

    attempt: int  # which attempt is under way, or comes next
    cycle: int  # its cycles that are done
    path: Tensor  # [P, n], of the last cycle
    values: Tensor  # dense values along it, at `subdivide(path, sub_points + 1)`
    end_values: Tensor  # [2]
    straight: float  # barrier of the straight line over the higher end
    line: Tensor  # dense values along it, which every attempt begins with
    # [P, n], the lowest path of the attempts that are over; the straight line before that
    best: Tensor
    best_values: Tensor  # dense values along that
    best_excess: float
    best_stderr: float  # of that, over examples
    best_multiple: float  # of the learning rate, at the end of its attempt
    learning_rate: float  # what multiples are of; measured once
    multiple: float  # of the next cycle
    undone: int  # cycles of this attempt that were done again
    too_high: (
        float  # the lowest multiple at which a cycle rose from the straight line; inf: none did
    )
    gradients: int  # spent so far, one a pivot and step
    evaluations: int  # points evaluated so far
    over: bool = False

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
    """Cycles of (insert, descend) on an elastic band, tried with several learning rates (Draxler et
    al. 2018, 1803.00885, 3.2).

    An attempt goes through all cycles at `multiples`[0] × `learning_rate`; "auto" is the
    landscape's own, and where it has none `BAND` times what is measured along the straight line
    (see `SGD`). The search ends when the lowest excess, the dense maximum over the higher end, is
    at most `enough` of the straight line's barrier, or two standard errors; within an attempt the
    cycles before the last are then left out. Else there are as many attempts as `multiples`, and up
    to `retries` more while the excess is above `retry_above` of that barrier: the last cycle once
    more on a path that is nearly joined, with more pivots, all of them on the straight line
    otherwise. The lowest path is kept.

    Where there may be several attempts, rates go down after a rise: what follows a cycle that ended
    higher than it began, or diverged, has a third of its rate. The cycle is undone and done again
    if it ended above a tenth of the straight line's barrier; it is broken off when the pivots' mean
    loss is above the straight line's highest. No attempt begins again at a rate that rose from the
    straight line. A schedule that is tried once (`draxler`) is kept to.

    `threshold`: departure from linear, in units of the path's range of values, that asks for a
    pivot. `sub_points` in each gap are evaluated between cycles, `final_sub_points` at the end. Arc
    positions are those at a cycle's start; velocity begins at zero in every cycle. `stiffness`: of
    the springs, None: infinite (see `ElasticBand`). `nudge`: how far the middle of the first band
    is off the straight line, in units of its length, in one random direction: symmetry may hold a
    band on a ridge.
    """

    cycles: Annotated[tuple[Cycle, ...], MinLen(1)]
    batch_size: Annotated[int, Ge(1)] | None
    learning_rate: PositiveFloat | Literal["auto"] = "auto"
    multiples: Annotated[tuple[PositiveFloat, ...], MinLen(1)] = (1.0,)
    momentum: BelowOne = 0.9
    sampling: Sampling = "iid"
    stiffness: PositiveFloat | None = None
    threshold: Fraction = 0.05
    sub_points: PositiveInt = 3
    final_sub_points: PositiveInt = 9
    nudge: NonNegative = 1e-2
    enough: Fraction = 0.0
    retry_above: Fraction = 0.01
    retries: NonNegativeInt = 1

    def cost(self) -> tuple[int, int, int]:
        """Pivot gradients, evaluated points and pivots of an edge whose first learning rate is
        enough: the MLP takes two."""
        pivots = list(accumulate(cycle.insert for cycle in self.cycles))
        gradients = sum(
            cycle.steps * count for cycle, count in zip(self.cycles, pivots, strict=True)
        )
        points = LINE + 1 + sum((count + 1) * (self.sub_points + 1) for count in pivots)
        return gradients, points + (pivots[-1] + 1) * (self.final_sub_points + 1), pivots[-1]

    def on_formula(self) -> "AutoNEB":
        """The same where there are no examples: what is asked there is the barrier to three digits,
        and steps cost nothing.

        No noise, a stable learning rate, five times the pivots at first, a pivot wherever one
        helps, 200 steps at least, and a climbing image at the end. One attempt and every cycle of
        it, as a high barrier is no sign of failure there. Momentum is ½ at most: along a steep path
        of close pivots each one's tangent follows its uphill neighbour, the waves that run down the
        band so have complex rates, and at 0.9 they grow (Müller–Brown: |F| = 65 instead of 0).
        """
        last = len(self.cycles) - 1
        cycles = tuple(
            Cycle(
                max(200 if i < last else 600, c.steps),
                c.insert if i else 5 * c.insert,
                climb=i == last,
            )
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
        state: AutoNEBState | None = None,
        error: Error | None = None,
    ) -> Iterator[AutoNEBState]:
        """The search between ends [2, n], a state after each cycle that is left. Going on from one
        gives the same bits.

        `evaluate` defaults to the objective, `descend` to running SGD to its end, `error` to none.

        """
        evaluate = evaluate or (lambda points: objective(landscape, points))
        descend = descend or (
            lambda _, sgd, cloud, band, key: _run_to_end(landscape, sgd, cloud, band, key)
        )
        state = self._begin(landscape, ends, seed, evaluate) if state is None else state
        end_losses = objective(landscape, ends)
        while not state.over:
            state = self._cycle(state, ends, end_losses, seed, evaluate, descend)
            if state.cycle == len(self.cycles):
                state = self._next(state, ends, error)
            yield state

    def finish(self, state: AutoNEBState, evaluate: Evaluate) -> Path:
        """The lowest path, evaluated densely; RunError where every attempt diverged."""
        if not isfinite(state.best_excess):
            raise RunError(
                "no finite path was found at any learning rate; lower autoneb.learning_rate"
            )
        parts = self.final_sub_points + 1
        t = subdivide(arc_positions(state.best), parts)
        found = dense_values(state.best, parts, state.end_values, evaluate)
        spent = state.evaluations + len(t) - 2
        rate = state.learning_rate * state.best_multiple
        return Path(
            state.best,
            t,
            found,
            _excess(found),
            state.straight,
            state.gradients,
            spent,
            state.attempt,
            rate,
        )

    def find(
        self, landscape: Landscape, ends: Cloud, seed: int, evaluate: Evaluate | None = None
    ) -> Path:
        """From nothing to the path, in one call."""
        evaluate = evaluate or (lambda points: objective(landscape, points))
        *_, last = self.run(landscape, ends, seed, evaluate)
        return self.finish(last, evaluate)

    def _begin(
        self, landscape: Landscape, ends: Cloud, seed: int, evaluate: Evaluate
    ) -> AutoNEBState:
        end_values = _valued(evaluate, ends)
        line = dense_values(ends, LINE, end_values, evaluate)
        sgd = self._sgd(self.cycles[0], self.learning_rate)
        measured = self.learning_rate == "auto" and is_measured(landscape)
        rate = rate_along(landscape, sgd, ends, seed) * (BAND if measured else 1.0)
        return AutoNEBState(
            attempt=0,
            cycle=0,
            path=ends,
            values=line,
            end_values=end_values,
            straight=_excess(line),
            line=line,
            best=ends,
            best_values=line,
            best_excess=inf,
            best_stderr=0.0,
            best_multiple=self.multiples[0],
            learning_rate=rate,
            multiple=self.multiples[0],
            undone=0,
            too_high=inf,
            gradients=0,
            evaluations=LINE + 1,
        )

    def _sgd(self, cycle: Cycle, rate: float | Literal["auto"]) -> SGD:
        return SGD(
            cycle.steps,
            self.batch_size,
            rate,
            cycle.schedule,
            self.momentum,
            sampling=self.sampling,
        )

    def _is_over(self, state: AutoNEBState) -> bool:
        """Whether the attempts that are over are enough."""
        if state.best_excess <= max(self.enough * state.straight, SIGMAS * state.best_stderr):
            return True
        tries = len(self.multiples)
        more = self.retries if state.best_excess > self.retry_above * state.straight else 0
        return state.attempt >= tries + more

    def _cycle(
        self,
        state: AutoNEBState,
        ends: Cloud,
        end_losses: Tensor,
        seed: int,
        evaluate: Evaluate,
        descend: Descend,
    ) -> AutoNEBState:
        cycle = self.cycles[state.cycle]
        path, steps = self._descended(state, ends, end_losses, seed, descend)
        dense, evaluated = torch.full_like(state.values, torch.nan), 0
        if torch.isfinite(path).all():
            dense = dense_values(path, self.sub_points + 1, state.end_values, evaluate)
            evaluated = len(dense) - 2
        before, excess = _excess(state.values), _excess(dense)
        state = state._replace(
            gradients=state.gradients + steps * (len(path) - 2),
            evaluations=state.evaluations + evaluated,
        )
        if excess > before and self._may_lower:
            state = self._lowered(state, ends, excess)
            if excess > UNDONE * state.straight:
                again = state.undone < MOST_UNDONE
                return state._replace(cycle=state.cycle + (not again), undone=state.undone + again)
        state = state._replace(path=path, values=dense, cycle=state.cycle + 1)
        if not isfinite(excess):  # of a schedule that is kept to, nothing can follow
            return state._replace(cycle=len(self.cycles))
        if excess <= self.enough * state.straight and cycle is not self.cycles[-1]:
            return state._replace(cycle=len(self.cycles) - 1)
        return state

    def _descended(
        self, state: AutoNEBState, ends: Cloud, end_losses: Tensor, seed: int, descend: Descend
    ) -> tuple[Cloud, int]:
        """The path [P, n] at the end of a cycle and the steps it took; nan where it diverged."""
        cycle = self.cycles[state.cycle]
        path, targets = self._placed(state, ends, cycle, seed)
        ceiling = float(end_losses.max()) + state.straight if self._is_clear(state) else inf
        stiffness = self.stiffness or inf
        band = ElasticBand(ends, end_losses, targets, stiffness, cycle.climb, ceiling=ceiling)
        sgd = self._sgd(cycle, state.learning_rate * state.multiple * cycle.rate)
        again = f"-again-{state.undone}" if state.undone else ""
        name = f"attempt-{state.attempt}-cycle-{state.cycle}{again}"
        try:
            cloud = band.place(descend(name, sgd, path[1:-1], band, key(seed, name)))
        except RunError as failure:  # too high a learning rate here: a lower one may do better
            steps = failure.steps if isinstance(failure, Diverged) else cycle.steps
            return torch.full_like(path, torch.nan), steps
        return band.path(cloud), cycle.steps

    def _lowered(self, state: AutoNEBState, ends: Cloud, excess: float) -> AutoNEBState:
        """After a rise: a lower rate, and the straight line as the best path if there is none."""
        if len(state.path) == 2:
            state = state._replace(too_high=min(state.too_high, state.multiple))
        if isfinite(excess) and not isfinite(state.best_excess):
            line = state.line
            state = state._replace(best=ends, best_values=line, best_excess=state.straight)
        return state._replace(multiple=LOWER * state.multiple)

    def _placed(
        self, state: AutoNEBState, ends: Cloud, cycle: Cycle, seed: int
    ) -> tuple[Cloud, Tensor]:
        """The path [P, n] that a cycle begins with, and its arc positions [P]."""
        if len(state.path) > 2:
            return insertion(state.path, state.values, cycle.insert, self.threshold)
        pivots = self.cycles[0].insert  # the first cycle, or all before this one rose
        return self._line(ends, pivots, stream(seed, "nudge", state.attempt))

    @property
    def _may_lower(self) -> bool:
        """Whether rates are this search's to choose, not those of a schedule that is kept to."""
        return len(self.multiples) + self.retries > 1

    def _is_clear(self, state: AutoNEBState) -> bool:
        """Whether no mini-batch looks as high as the straight line by chance."""
        return self._may_lower and state.straight > CLEAR * float(state.end_values.max())

    def _next(self, state: AutoNEBState, ends: Cloud, error: Error | None) -> AutoNEBState:
        """The attempt is over: the best path so far, where the next begins, and at what rate."""
        excess = _excess(state.values)
        is_found = len(state.path) > 2 and isfinite(excess)
        if is_found and excess < state.best_excess:
            asks = error is not None and excess > 0  # a path that is nowhere higher has no barrier
            stderr = error(self._top_and_end(state, ends)) if error and asks else 0.0
            state = state._replace(
                best=state.path,
                best_values=state.values,
                best_excess=excess,
                best_stderr=stderr,
                best_multiple=state.multiple,
                evaluations=state.evaluations + 2 * asks,
            )
        state = state._replace(attempt=state.attempt + 1, undone=0)
        if self._is_over(state):
            return state._replace(cycle=0, over=True)
        planned = state.multiple
        if state.attempt < len(self.multiples):
            planned = self.multiples[state.attempt]
        if state.best_excess <= UNDONE * state.straight:  # nearly joined: the last cycle once more
            was_lowered = state.multiple not in self.multiples
            return state._replace(
                cycle=len(self.cycles) - 1,
                path=state.best,
                values=state.best_values,
                multiple=state.multiple if was_lowered else planned,
            )
        multiple = planned if planned < state.too_high else LOWER * state.too_high
        return state._replace(cycle=0, path=ends, values=state.line, multiple=multiple)

    def _top_and_end(self, state: AutoNEBState, ends: Cloud) -> Tensor:
        """The highest point of a path and the higher of its ends, [2, n]."""
        arcs = arc_positions(state.path)
        t = subdivide(arcs, (len(state.values) - 1) // (len(state.path) - 1))
        top = int(state.values.argmax())
        higher = int(state.end_values.argmax())
        return torch.stack([points_at(state.path, t[top : top + 1], arcs)[0], ends[higher]])

    def _line(self, ends: Cloud, pivots: int, source: torch.Generator) -> tuple[Cloud, Tensor]:
        """Evenly spaced pivots on the straight line, bent by sin(πt): all to one side, or halves
        would part on a ridge."""
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
    """Values at `subdivide(path, parts)`, [(P−1)·parts + 1], float64; what is known of the ends is
    not asked again."""
    arcs = arc_positions(path)
    inside = subdivide(arcs, parts)[1:-1]
    found = [_valued(evaluate, points_at(path, t, arcs)) for t in inside.split(CHUNK)]
    return torch.cat([end_values[:1], *found, end_values[1:]])


def _valued(evaluate: Evaluate, points: Tensor) -> Tensor:
    return evaluate(points).detach().double().to(points.device)


def _excess(values: Tensor) -> float:
    """The highest value over the higher end's; inf where a value is not finite."""
    return (
        float(values.max() - values[[0, -1]].max()) if bool(torch.isfinite(values).all()) else inf
    )


def _run_to_end(
    landscape: Landscape, sgd: SGD, cloud: Cloud, coupling: Coupling, seed: int
) -> Cloud:
    for state in sgd.run(landscape, cloud, seed, coupling):
        cloud = state.cloud
    return cloud
