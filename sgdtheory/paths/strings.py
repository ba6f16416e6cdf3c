"""Two minima joined by a string: the loss it is to stay below, and the string as a path like any
other."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt

from sgdtheory.annotations import BelowOne, NonNegative, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.sampling import Sampling
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.autoneb import LINE, Path, rate_along
from sgdtheory.paths.polyline import arc_positions, points_at, subdivide
from sgdtheory.paths.profile import train_losses
from sgdtheory.paths.string_sampling import String, StringSampling, Watch
from sgdtheory.roles import is_scored, states_barrier

DENSE = (
    120  # parts of a string of few pieces that is measured: as many as of AutoNEB's thirteen pivots
)
MOST_PARTS = 10  # of one piece
# of a formula's stated barrier, and of the straight line's: L₀ over the first end
NEAR = (
    1.003,
    1e-4,
)


@dataclass(frozen=True)
class Strings:
    """A path by dynamic string sampling (Freeman & Bruna 2017, 1611.01540; see `StringSampling`),
    below a loss L₀.

    L₀ is `threshold`, a training loss without L2, statistics recomputed, as paths are judged by (L2
    falls between two minima, and would hide a barrier); None: `above` × the straight line's barrier
    over the higher end; on a formula that states its barrier, so near to that as its claim asks
    for. `alpha`: the share of what L₀ is over the higher end that beads are trained down to (the
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

    def grown(
        self,
        landscape: Landscape,
        ends: Cloud,
        seed: int,
        watch: Watch,
        string: String | None = None,
    ) -> Iterator[String]:
        """The string between ends [2, n] after each depth that is left; its threshold is
        `threshold_of`."""
        formula = not is_scored(landscape)
        level, floor = (
            self.threshold_of(landscape, ends),
            float(train_losses(landscape, ends).max()),
        )
        if not floor <= level:
            raise UserError(
                f"strings.threshold: {level:.6g} is below the higher end, which has {floor:.6g}"
            )
        batch, rate = (None, "auto") if formula else (self.batch_size, self.learning_rate)
        steps, momentum = (
            (max(2000, self.steps), min(0.5, self.momentum))
            if formula
            else (self.steps, self.momentum)
        )
        sgd = SGD(steps, batch, rate, Constant(), momentum, sampling=self.sampling)
        sampler = StringSampling(sgd, 0.0, self.start, self.points, self.every, self.most_beads)
        target = floor + (0.999 if formula else self.alpha) * (level - floor)
        judge = partial(train_losses, landscape)
        return sampler.grown(landscape, ends, level, target, seed, watch, string, self.nudge, judge)

    def settled(self, landscape: Landscape, ends: Cloud, seed: int) -> "Strings":
        """The same with a number for the learning rate, one that suits the straight line; a
        formula's beads settle theirs."""
        if self.learning_rate != "auto" or not is_scored(landscape):
            return self
        sgd = SGD(
            self.steps, self.batch_size, "auto", Constant(), self.momentum, sampling=self.sampling
        )
        return replace(self, learning_rate=rate_along(landscape, sgd, ends, seed))

    def cost(self) -> tuple[int, int, int]:
        """Gradients and evaluated points of a string of one bead that takes all its steps, and how
        many points are kept: a guess, for how many beads there will be is what is looked for."""
        return self.steps, LINE + 1 + 3 * self.points + self.steps // self.every + DENSE, 3

    def threshold_of(self, landscape: Landscape, ends: Cloud) -> float:
        """L₀ for this pair."""
        if self.threshold is not None:
            return self.threshold
        t = torch.linspace(0, 1, LINE + 1, dtype=torch.float64, device=ends.device)
        line = train_losses(landscape, points_at(ends, t))
        floor = float(line[[0, -1]].max())
        rise = float(line.max()) - floor
        if states_barrier(landscape):
            return float(line[0]) + NEAR[0] * float(landscape.barrier()) + NEAR[1] * rise
        return floor + self.above * rise

    def path_of(self, string: String) -> Path:
        """The string as a path, with positions where it is to be measured, its own highest ones
        among them."""
        arcs = arc_positions(string.path)
        tops = arcs[:-1] + arcs.diff() * string.tops[:, 1].to(arcs)
        t = torch.cat(
            [subdivide(arcs, min(MOST_PARTS, ceil(DENSE / (string.beads + 1)))), tops]
        ).unique()  # sorted
        spent = string.evaluations + LINE + 1 + len(t)
        return Path(
            string.path, t, t.new_empty(0), torch.nan, torch.nan, string.gradients, spent, 1
        )
