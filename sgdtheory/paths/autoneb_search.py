"""The search of AutoNEB for one path: attempts, their cycles, and what follows a rise."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.optim.learning_rate import is_measured
from sgdtheory.optim.sgd import SGD, Coupling, Diverged
from sgdtheory.paths.autoneb_state import AutoNEBState
from sgdtheory.paths.band import ElasticBand, insertion, pivots_on_line
from sgdtheory.paths.path import (
    LINE,
    Evaluate,
    barrier_of,
    highest_point,
    in_float64,
    values_along,
)
from sgdtheory.paths.straight_line import rate_along
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.protocol import values as objective
from sgdtheory.rng import key, stream

if TYPE_CHECKING:
    from sgdtheory.paths.autoneb import AutoNEB, Cycle

# two points [2, n] → the standard error of the difference of their values
Error: TypeAlias = Callable[[Cloud], float]
# stage's name, loop, start, coupling, seed → last cloud
Descend: TypeAlias = Callable[[str, SGD, Cloud, Coupling, int], Cloud]
# Times the rate measured along the straight line: a band leaves the steepest of its points in its
# first steps. Of 1, 2, 4 on two pairs each of ResNet-8, DenseNet, CNN and MLP on digits, 2 ends
# lower than 1 or sooner; at 4 the MLP's first cycles rise.
BAND = 2.0
LOWER = 1 / 3  # of the rate: what follows a cycle that ended higher than it began
# times the higher end's value: the straight line's barrier where a risen loss is told from noise
CLEAR = 10
# of the straight line's barrier: a cycle that rose to more is undone; less, the next ones bring
# down again
UNDONE = 0.1
MOST_UNDONE = 2  # cycles of an attempt that are done again
# standard errors of the barrier within which a path is flat, as far as these examples tell
SIGMAS = 2.0


@dataclass(frozen=True, eq=False)
class AutoNEBSearch:
    """The search between `ends` [2, n]; each method takes a state and gives a later one."""

    settings: "AutoNEB"
    landscape: Landscape
    ends: Cloud
    seed: int
    evaluate: Evaluate
    descend: Descend
    error: Error | None = None

    @cached_property
    def end_losses(self) -> Tensor:
        """The whole objective at the ends, [2]."""
        return objective(self.landscape, self.ends)

    def begin(self) -> AutoNEBState:
        """The straight line, and a learning rate that suits it."""
        settings = self.settings
        end_values = in_float64(self.evaluate, self.ends)
        line = values_along(self.ends, LINE, end_values, self.evaluate)
        return AutoNEBState(
            attempt=0,
            cycle=0,
            path=self.ends,
            values=line,
            end_values=end_values,
            straight=barrier_of(line),
            line=line,
            best=self.ends,
            best_values=line,
            best_barrier=inf,
            best_stderr=0.0,
            best_multiple=settings.multiples[0],
            learning_rate=self._first_rate(),
            multiple=settings.multiples[0],
            undone=0,
            too_high=inf,
            gradients=0,
            evaluations=LINE + 1,
        )

    def _first_rate(self) -> float:
        """The learning rate that multiples are of."""
        settings = self.settings
        rate = settings.learning_rate
        if settings.adam is not None:
            return settings.adam.learning_rate if rate == "auto" else rate
        sgd = self._sgd(settings.cycles[0], rate)
        found = rate_along(self.landscape, sgd, self.ends, self.seed)
        if rate == "auto" and is_measured(self.landscape):
            return BAND * found
        return found

    def step(self, state: AutoNEBState) -> AutoNEBState:
        """One cycle more; after the last one of an attempt, where the next attempt begins."""
        state = self._cycle(state)
        if state.cycle == len(self.settings.cycles):
            return self._next(state)
        return state

    def _sgd(self, cycle: "Cycle", rate: float | Literal["auto"]) -> SGD:
        settings = self.settings
        sgd = SGD(
            cycle.steps,
            settings.batch_size,
            rate,
            cycle.schedule,
            settings.momentum,
            sampling=settings.sampling,
        )
        if settings.adam is None or rate == "auto":
            return sgd
        return settings.adam.of(sgd, rate)

    # a cycle

    def _cycle(self, state: AutoNEBState) -> AutoNEBState:
        settings = self.settings
        cycle = settings.cycles[state.cycle]
        path, steps = self._descended(state)
        values, evaluated = self._values(path, state)
        before = barrier_of(state.values)
        barrier = barrier_of(values)
        state = state._replace(
            gradients=state.gradients + steps * (len(path) - 2),
            evaluations=state.evaluations + evaluated,
        )
        if barrier > before and self._may_lower:
            state = self._lowered(state, barrier)
            if barrier > UNDONE * state.straight:
                return self._undone(state)
        state = state._replace(path=path, values=values, cycle=state.cycle + 1)
        if not isfinite(barrier):  # of a schedule that is kept to, nothing can follow
            return state._replace(cycle=len(settings.cycles))
        is_low = barrier <= settings.enough * state.straight
        if is_low and cycle is not settings.cycles[-1]:
            return state._replace(cycle=len(settings.cycles) - 1)
        return state

    def _descended(self, state: AutoNEBState) -> tuple[Cloud, int]:
        """The path [P, n] at the end of a cycle and the steps it took; nan where it diverged."""
        cycle = self.settings.cycles[state.cycle]
        path, targets = self._placed(state, cycle)
        ceiling = inf
        if self._is_clear(state):
            ceiling = float(self.end_losses.max()) + state.straight
        stiffness = self.settings.stiffness or inf
        band = ElasticBand(
            self.ends, self.end_losses, targets, stiffness, cycle.climb, ceiling=ceiling
        )
        rate = state.learning_rate * state.multiple * cycle.rate
        sgd = self._sgd(cycle, rate)
        name = f"attempt-{state.attempt}-cycle-{state.cycle}"
        if state.undone:
            name += f"-again-{state.undone}"
        seed = key(self.seed, name)
        try:
            cloud = self.descend(name, sgd, path[1:-1], band, seed)
        except RunError as failure:  # too high a learning rate here: a lower one may do better
            steps = cycle.steps
            if isinstance(failure, Diverged):
                steps = failure.steps
            return torch.full_like(path, torch.nan), steps
        return band.path(band.project(cloud)), cycle.steps

    def _placed(self, state: AutoNEBState, cycle: "Cycle") -> tuple[Cloud, Tensor]:
        """The path [P, n] that a cycle begins with, and its arc positions [P]."""
        settings = self.settings
        if len(state.path) > 2:
            return insertion(state.path, state.values, cycle.insert, settings.threshold)
        # the first cycle, or all before this one rose
        source = stream(self.seed, "nudge", state.attempt)
        count = settings.cycles[0].insert
        return pivots_on_line(self.ends, count, settings.nudge, source)

    def _values(self, path: Tensor, state: AutoNEBState) -> tuple[Tensor, int]:
        """Dense values along a path [P, n] and how many were asked for; NaN where it is not
        finite."""
        if not torch.isfinite(path).all():
            return torch.full_like(state.values, torch.nan), 0
        parts = self.settings.sub_points + 1
        values = values_along(path, parts, state.end_values, self.evaluate)
        return values, len(values) - 2

    # after a rise

    @property
    def _may_lower(self) -> bool:
        """Whether rates are this search's to choose, not those of a schedule that is kept to."""
        return len(self.settings.multiples) + self.settings.retries > 1

    def _is_clear(self, state: AutoNEBState) -> bool:
        """Whether no mini-batch looks as high as the straight line by chance; not asked in the last
        attempt, if there is no path by then: where few examples carry the loss, all would look
        too high."""
        last = len(self.settings.multiples) + self.settings.retries - 1
        if state.attempt >= last and not isfinite(state.best_barrier):
            return False
        higher_end = float(state.end_values.max())
        return self._may_lower and state.straight > CLEAR * higher_end

    def _lowered(self, state: AutoNEBState, barrier: float) -> AutoNEBState:
        """A lower rate, and the straight line as the best path if there is none."""
        if len(state.path) == 2:
            state = state._replace(too_high=min(state.too_high, state.multiple))
        if isfinite(barrier) and not isfinite(state.best_barrier):
            state = state._replace(
                best=self.ends, best_values=state.line, best_barrier=state.straight
            )
        return state._replace(multiple=LOWER * state.multiple, lowered=True)

    @staticmethod
    def _undone(state: AutoNEBState) -> AutoNEBState:
        """The same cycle once more from where it began; left out where that was done too often."""
        if state.undone < MOST_UNDONE:
            return state._replace(undone=state.undone + 1)
        return state._replace(cycle=state.cycle + 1)

    # after an attempt

    def _next(self, state: AutoNEBState) -> AutoNEBState:
        """The best path so far, where the next attempt begins, and at what rate."""
        state = self._with_best(state)
        state = state._replace(attempt=state.attempt + 1, undone=0)
        if self._is_over(state):
            return state._replace(cycle=0, over=True)
        settings = self.settings
        planned = state.multiple
        is_lowered = state.lowered
        if state.attempt < len(settings.multiples):
            planned = settings.multiples[state.attempt]
            is_lowered = False
        if state.best_barrier <= UNDONE * state.straight:  # nearly joined: the last cycle once more
            if state.lowered:
                planned = state.multiple
                is_lowered = True
            return state._replace(
                cycle=len(settings.cycles) - 1,
                path=state.best,
                values=state.best_values,
                multiple=planned,
                lowered=is_lowered,
            )
        if planned >= state.too_high:
            planned = LOWER * state.too_high
            is_lowered = True
        return state._replace(
            cycle=0, path=self.ends, values=state.line, multiple=planned, lowered=is_lowered
        )

    def _with_best(self, state: AutoNEBState) -> AutoNEBState:
        """The state with the path of its attempt as the best one, where it is."""
        barrier = barrier_of(state.values)
        is_found = len(state.path) > 2 and isfinite(barrier)
        if not (is_found and barrier < state.best_barrier):
            return state
        # a path that is nowhere higher has no barrier
        has_error = self.error is not None and barrier > 0
        stderr = 0.0
        if self.error and has_error:
            stderr = self.error(self._top_and_end(state))
        return state._replace(
            best=state.path,
            best_values=state.values,
            best_barrier=barrier,
            best_stderr=stderr,
            best_multiple=state.multiple,
            evaluations=state.evaluations + 2 * has_error,
        )

    def _is_over(self, state: AutoNEBState) -> bool:
        """Whether the attempts that are over are enough."""
        settings = self.settings
        flat = max(settings.enough * state.straight, SIGMAS * state.best_stderr)
        if state.best_barrier <= flat:
            return True
        attempts = len(settings.multiples)
        if state.best_barrier > settings.retry_above * state.straight:
            attempts += settings.retries
        return state.attempt >= attempts

    def _top_and_end(self, state: AutoNEBState) -> Tensor:
        """The highest point of a path and the higher of its ends, [2, n]."""
        higher = int(state.end_values.argmax())
        top = highest_point(state.path, state.values)
        return torch.stack([top, self.ends[higher]])
