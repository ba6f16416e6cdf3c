"""AutoNEB: a low path between two minima, by cycles of inserting pivots and letting the band
descend."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from math import isfinite
from typing import Annotated, Literal

from annotated_types import MinLen

from sgdtheory.annotations import (
    BelowOne,
    Fraction,
    NonNegative,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from sgdtheory.errors import RunError
from sgdtheory.landscapes.derived.scored_once import scored_once
from sgdtheory.optim.adam import AdamSettings
from sgdtheory.optim.sampling import Sampling
from sgdtheory.optim.schedule import Constant, Schedule
from sgdtheory.optim.sgd import SGD, Coupling
from sgdtheory.paths.autoneb_search import AutoNEBSearch, Descend, Error
from sgdtheory.paths.autoneb_state import AutoNEBState
from sgdtheory.paths.path import LINE, Evaluate, FoundPath, Path, barrier_of, values_along
from sgdtheory.paths.profile import loss_difference_error, profile, train_losses
from sgdtheory.paths.search import (
    Progress,
    StepCost,
    keep_state,
    kept_state,
    report_progress,
    run_stage_in,
)
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.examples import count_of, is_scored
from sgdtheory.runs.unit import UnitFolder


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


@dataclass(frozen=True)
class AutoNEB:
    """Cycles of (insert, descend) on an elastic band, tried with several learning rates (Draxler et
    al. 2018, 1803.00885, 3.2).

    An attempt goes through all cycles at `multiples`[0] × `learning_rate`; "auto" is the
    landscape's own, and where it has none `BAND` times what is measured along the straight line
    (see `SGD`). The search ends when the lowest barrier, the dense maximum over the higher end, is
    at most `enough` of the straight line's barrier, or two standard errors; within an attempt the
    cycles before the last are then left out. Else there are as many attempts as `multiples`, and up
    to `retries` more while the barrier is above `retry_above` of that barrier: the last cycle once
    more on a path that is nearly joined, with more pivots, all of them on the straight line
    otherwise. The lowest path is kept.

    Where there may be several attempts, rates go down after a rise: what follows a cycle that ended
    higher than it began, or diverged, has a third of its rate. The cycle is undone and done again
    if it ended above a tenth of the straight line's barrier; it is broken off when the pivots' mean
    loss is above the straight line's highest. No attempt begins again at a rate that rose from the
    straight line. A schedule that is tried once (`draxler`) is kept to.

    `adam`: descends in the place of SGD, as networks need it that SGD does not train; "auto" is
    then its own rate.

    `threshold`: departure from linear, in units of the path's range of values, that asks for a
    pivot. `sub_points` in each gap are evaluated between cycles, `final_sub_points` at the end. Arc
    positions are those at a cycle's start; velocity begins at zero in every cycle. `stiffness`: of
    the springs, None: infinite (see `ElasticBand`). `nudge`: how far the middle of the first band
    is off the straight line, in units of its length, in one random direction: symmetry may hold a
    band on a ridge.
    """

    cycles: Annotated[tuple[Cycle, ...], MinLen(1)]
    batch_size: PositiveInt | None
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
    adam: AdamSettings | None = None

    def cost(self) -> tuple[int, int, int]:
        """Pivot gradients, evaluated points and pivots of an edge whose first learning rate is
        enough: the MLP takes two."""
        pivots = list(accumulate(cycle.insert for cycle in self.cycles))
        gradients = sum(
            cycle.steps * count for cycle, count in zip(self.cycles, pivots, strict=True)
        )
        looked_at = [(count + 1) * (self.sub_points + 1) for count in pivots]
        last = pivots[-1]
        measured = (last + 1) * (self.final_sub_points + 1)
        points = LINE + 1 + sum(looked_at) + measured
        return gradients, points, last

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

    def adapted_to(self, landscape: Landscape) -> "AutoNEB":
        """The method as a landscape needs it: formulas have settings of their own, and of fewer
        examples than a mini-batch has all are taken."""
        if not is_scored(landscape):
            return self.on_formula()
        count = count_of(landscape)
        if count is None or self.batch_size is None or self.batch_size <= count:
            return self
        return replace(self, batch_size=count)

    @property
    def points_together(self) -> int:
        """Pivots of the last cycle."""
        return self.cost()[2]

    @property
    def points_measured(self) -> int:
        """Points of a path of that many pivots whose losses are measured."""
        return (self.points_together + 1) * (self.final_sub_points + 1)

    def search_cost(self, step: StepCost, look: float) -> float:
        """An attempt, where a step of k pivots costs step(k) and an evaluated point `look`: mostly
        the first is enough."""
        _, points, _ = self.cost()
        return sum(self._cycle_costs(step)) + points * look

    def _cycle_costs(self, step: StepCost) -> list[float]:
        """What each cycle of an attempt costs: its steps, at the pivots it may have. The last take
        several times the first's."""
        costs = []
        pivots = 0
        for cycle in self.cycles:
            pivots += cycle.insert
            costs.append(cycle.steps * step(max(1, pivots)))
        return costs

    def find(
        self,
        landscape: Landscape,
        ends: Cloud,
        seed: int,
        folder: UnitFolder | None = None,
        progress: Progress = Progress(),  # noqa: B008  (immutable)
    ) -> FoundPath:
        """The lowest path between ends [2, n] with its scores, from the newest state in the folder:
        one a cycle, and checkpoints inside cycles."""
        landscape = scored_once(landscape)
        state = AutoNEBState.read(kept_state(folder), ends.device)
        costs = self._cycle_costs(progress.step)
        done = [0.0, *accumulate(costs)]  # after so many cycles of an attempt
        total = done[-1]

        def descend(name: str, sgd: SGD, cloud: Cloud, band: Coupling, seed: int) -> Cloud:
            cycles = 0 if state is None else state.cycle
            first = min(len(costs) - 1, cycles)
            begin = progress.at(done[first] / total)
            end = progress.at(done[first + 1] / total)
            return run_stage_in(folder, name, sgd, landscape, cloud, seed, band, (begin, end))

        evaluate = partial(train_losses, landscape)
        error = loss_difference_error(landscape)
        for newest in self.run(landscape, ends, seed, evaluate, descend, state, error):
            keep_state(folder, newest)
            state = newest
        assert state is not None
        report_progress(folder, progress.end, "measuring the path")
        return self.finish(state, landscape)

    def run(
        self,
        landscape: Landscape,
        ends: Cloud,
        seed: int,
        evaluate: Evaluate,
        descend: Descend,
        state: AutoNEBState | None = None,
        error: Error | None = None,
    ) -> Iterator[AutoNEBState]:
        """The search between ends [2, n], a state after each cycle that is left. Going on from one
        gives the same bits."""
        search = AutoNEBSearch(self, landscape, ends, seed, evaluate, descend, error)
        if state is None:
            state = search.begin()
        while not state.over:
            state = search.step(state)
            yield state

    def finish(self, state: AutoNEBState, landscape: Landscape) -> FoundPath:
        """The lowest path, scored densely on both sets; RunError where every attempt diverged."""
        if not isfinite(state.best_barrier):
            raise RunError(
                "no finite path was found at any learning rate; lower autoneb.learning_rate"
            )
        parts = self.final_sub_points + 1
        path = Path.subdivided(state.best, parts)
        along = profile(landscape, path.points, path.t)
        values = along.train_means
        if not is_scored(landscape):  # in the chunks of the search: its sums, to the bit
            values = values_along(
                path.pivots, parts, state.end_values, partial(train_losses, landscape)
            )
        rate = state.learning_rate * state.best_multiple
        return FoundPath(
            path,
            along,
            barrier_of(values),
            state.straight,
            state.gradients,
            state.evaluations + len(path.t) - 2,
            state.attempt,
            {"method": "autoneb", "cycles": len(self.cycles), "learning_rate": rate},
            rate,
        )
