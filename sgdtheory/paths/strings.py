"""Two minima joined by a string: the loss it is to stay below, and the string as a path like any
other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, nan
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from sgdtheory.annotations import BelowOne, NonNegative, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.landscapes.derived.scored_once import scored_once
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.optim.sampling import Sampling
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.path import LINE, FoundPath, Path, barrier_of
from sgdtheory.paths.polyline import arc_positions, subdivide
from sgdtheory.paths.profile import profile, train_losses
from sgdtheory.paths.search import (
    Progress,
    StepCost,
    keep_state,
    kept_state,
    report_progress,
)
from sgdtheory.paths.straight_line import evenly_spaced, points_on_line, rate_along
from sgdtheory.paths.string_sampling import String, StringSampling, Watch
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.closed_forms import states_barrier
from sgdtheory.roles.examples import count_of, is_scored
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.rows import Row

# parts of a string of few pieces that is measured: as many as of AutoNEB's thirteen pivots
DENSE = 120
MOST_PARTS = 10  # of one piece
# of a formula's stated barrier, and of the straight line's: L₀ over the first end
NEAR = (1.003, 1e-4)


@dataclass(frozen=True)
class Strings:
    """A path by dynamic string sampling (Freeman & Bruna 2017, 1611.01540; see `StringSampling`),
    below a loss L₀.

    L₀ is `threshold`, a training loss without L2, statistics recomputed, as paths are judged by (L2
    falls between two minima, and would hide a barrier); None: `above` × the straight line's barrier
    over the higher end; on a formula that states its barrier, so near to that as its claim asks
    for. `alpha`: the fraction of what L₀ is over the higher end that beads are trained down to (the
    paper's αL₀ lies below every minimum where these are not near 0); on a formula .999, since a
    bead that left a saddle would not come back. A bead takes at most `steps` steps of SGD at a
    constant rate (auto: as AutoNEB's, measured along the straight line), without noise on a
    formula, and begins `nudge` of a piece off it.
    """

    threshold: float | None = None
    above: Annotated[float, Gt(0), Lt(1)] = 0.005
    alpha: Annotated[float, Ge(0), Lt(1)] = 0.5
    steps: PositiveInt = 600
    batch_size: PositiveInt | None = 128
    learning_rate: PositiveFloat | Literal["auto"] = "auto"
    momentum: BelowOne = 0.9
    sampling: Sampling = "iid"
    start: Literal["worst", "middle"] = "worst"
    points: PositiveInt = 9
    every: PositiveInt = 10
    most_beads: PositiveInt = 200
    nudge: NonNegative = 1e-2

    def adapted_to(self, landscape: Landscape) -> "Strings":
        """The same, but that of fewer examples than a mini-batch has all are taken; beads see to it
        themselves what else they are on. Refused: the whole objective of augmented images."""
        if self.batch_size is None:
            refuse_batch(landscape, None, "strings.batch_size")
        count = count_of(landscape)
        if count is None or self.batch_size is None or self.batch_size <= count:
            return self
        return replace(self, batch_size=count)

    @property
    def points_together(self) -> int:
        """One bead."""
        return 1

    @property
    def points_measured(self) -> int:
        """Points of a string whose losses are measured."""
        return DENSE

    def search_cost(self, step: StepCost, look: float) -> float:
        """A string of one bead, where a step costs step(1) and an evaluated point `look`."""
        gradients, points, _ = self.cost()
        return step(1) * gradients + points * look

    def find(
        self,
        landscape: Landscape,
        ends: Cloud,
        seed: int,
        folder: UnitFolder | None = None,
        progress: Progress = Progress(),  # noqa: B008  (immutable)
    ) -> FoundPath:
        """The string between ends [2, n] with its scores, from the newest state in the folder: one
        a depth; `cycles` are its depths."""
        landscape = scored_once(landscape)
        string = String.read(kept_state(folder), ends.device)
        settings = self.resolve_learning_rate(landscape, ends, seed)
        line = self._line_losses(landscape, ends)
        threshold = self._threshold(landscape, line)

        def watch() -> None:
            depth = 0 if string is None else string.depth
            report_progress(folder, progress.at(depth / (depth + 3)), f"string, depth {depth}")
            stop_if_asked()

        for newest in settings.grown(landscape, ends, threshold, seed, watch, string):
            keep_state(folder, newest)
            string = newest
        assert string is not None
        report_progress(folder, progress.end, "measuring the path")
        return settings.finish(string, landscape, threshold, line)

    def grown(
        self,
        landscape: Landscape,
        ends: Cloud,
        threshold: float,
        seed: int,
        watch: Watch,
        string: String | None = None,
    ) -> Iterator[String]:
        """The string between ends [2, n] after each depth that is left, below a loss L₀ =
        `threshold`."""
        floor = float(train_losses(landscape, ends).max())
        if not floor <= threshold:
            raise UserError(
                f"strings.threshold: {threshold:.6g} is below the higher end, which has {floor:.6g}"
            )
        formula = not is_scored(landscape)
        alpha = self.alpha
        if formula:
            alpha = 0.999
        target = floor + alpha * (threshold - floor)
        sampler = self._sampler(formula)
        judge = partial(train_losses, landscape)
        return sampler.grown(
            landscape, ends, threshold, target, seed, watch, string, self.nudge, judge
        )

    def _sampler(self, formula: bool) -> StringSampling:
        """Dynamic string sampling with these settings; on a formula without noise."""
        batch_size = self.batch_size
        rate = self.learning_rate
        steps = self.steps
        momentum = self.momentum
        if formula:
            batch_size = None
            rate = "auto"
            steps = max(2000, steps)
            momentum = min(0.5, momentum)
        sgd = SGD(steps, batch_size, rate, Constant(), momentum, sampling=self.sampling)
        return StringSampling(sgd, 0.0, self.start, self.points, self.every, self.most_beads)

    def resolve_learning_rate(self, landscape: Landscape, ends: Cloud, seed: int) -> "Strings":
        """The same with a number for the learning rate, one that suits the straight line between
        ends [2, n]; on a formula each bead measures its own."""
        if self.learning_rate != "auto" or not is_scored(landscape):
            return self
        sgd = SGD(
            self.steps, self.batch_size, "auto", Constant(), self.momentum, sampling=self.sampling
        )
        return replace(self, learning_rate=rate_along(landscape, sgd, ends, seed))

    def cost(self) -> tuple[int, int, int]:
        """Gradients, evaluated points and kept points of a string of one bead that takes all its
        steps: a rough guess, as the number of beads is what is searched for."""
        looked_at = 3 * self.points + self.steps // self.every
        points = LINE + 1 + looked_at + DENSE
        return self.steps, points, 3

    def _line_losses(self, landscape: Landscape, ends: Cloud) -> Tensor | None:
        """Training losses [LINE + 1] along the straight line between ends [2, n], where L₀ depends
        on them."""
        if self.threshold is not None:
            return None
        t = evenly_spaced(LINE + 1, ends.device)
        return train_losses(landscape, points_on_line(ends, t))

    def _threshold(self, landscape: Landscape, line: Tensor | None) -> float:
        """L₀, by the losses along the straight line."""
        if line is None:
            assert self.threshold is not None
            return self.threshold
        floor = float(line[[0, -1]].max())
        rise = float(line.max()) - floor
        if states_barrier(landscape):
            of_barrier, of_rise = NEAR
            over = of_barrier * float(landscape.barrier())
            return float(line[0]) + over + of_rise * rise
        return floor + self.above * rise

    def finish(
        self, string: String, landscape: Landscape, threshold: float, line: Tensor | None
    ) -> FoundPath:
        """The string as a path with its scores, its own highest points among them; `line`: losses
        [LINE + 1] along the straight line, where they were looked at."""
        path = _measured_path(string)
        along = profile(landscape, path.points, path.t)
        facts: Row = {"method": "string_sampling", "cycles": string.depth, "beads": string.beads}
        rate = nan
        if self.learning_rate != "auto":
            rate = self.learning_rate
            facts["learning_rate"] = rate
        facts["threshold"] = threshold
        facts["found"] = not string.why
        facts["found_why"] = string.why or None
        straight = nan
        if line is not None:
            straight = barrier_of(line)
        measured = LINE + 1 + len(path.t)
        return FoundPath(
            path,
            along,
            barrier_of(along.train_means),
            straight,
            string.gradients,
            string.evaluations + measured,
            1,
            facts,
            rate,
        )


def _measured_path(string: String) -> Path:
    """The pieces of a string in equal parts, with the highest point that was seen in each."""
    arcs = arc_positions(string.path)
    fractions = string.tops[:, 1].to(arcs)
    tops = arcs[:-1] + arcs.diff() * fractions
    pieces = string.beads + 1
    parts = min(MOST_PARTS, ceil(DENSE / pieces))
    t = torch.cat([subdivide(arcs, parts), tops])
    return Path(string.path, t.unique())  # sorted
