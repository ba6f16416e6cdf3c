"""Where gradient descent passes given losses."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.profile import train_losses
from sgdtheory.protocol import Cloud, Landscape, values
from sgdtheory.roles.examples import is_scored

MOMENTUM = 0.9  # of full-batch descent
# of the step that passes a loss, before a straight line: of what the loss bends by in the step,
# 1/8·2⁻¹⁶ are left
HALVINGS = 8


def objective(landscape: Landscape, cloud: Cloud) -> Tensor:
    """What is descended, at the points of a cloud [P, n] → [P], float64."""
    return values(landscape, cloud).double()


LOSSES: dict[str, Callable[[Landscape, Cloud], Tensor]] = {
    "objective": objective,
    "data_loss": train_losses,
}


def descent(landscape: Landscape, steps: int, rate: float | Literal["auto"]) -> SGD:
    """Heavy-ball descent of the whole objective, on a formula at the rate adapted to it (see
    `SGD`).
    """
    return SGD(steps, None, rate if is_scored(landscape) else "auto", Constant(), MOMENTUM)


class Passages:
    """Where one descent has each of M losses of a kind: of all the places the one nearest in
    objective to what is compared with it."""

    def __init__(self, cloud: Cloud, at: Tensor, level: Tensor, objectives: Tensor) -> None:
        """Of losses `level` [M] from the points `at` [M] of a cloud [A, n]; `objectives` [M] are
        those of what has these losses."""
        self.at = at
        self.level = level
        self.objectives = objectives
        self.points = cloud.new_full((len(at), cloud.shape[1]), torch.nan)  # [M, n]
        self.off = torch.full_like(level, torch.inf)  # |objective − that asked| there [M]

    def look(
        self,
        landscape: Landscape,
        of: Callable[[Landscape, Cloud], Tensor],
        step: tuple[Cloud, Cloud],
        losses: tuple[Tensor, Tensor],
    ) -> None:
        """Take what is nearer on a step from one cloud [A, n] to the next, which have these losses
        [A]."""
        start, end = (each[self.at] for each in losses)
        passes = (start - self.level) * (end - self.level) <= 0
        if not bool(passes.any()):
            return
        own = self.at[passes]
        ends = (step[0][own], step[1][own])
        points = _between(landscape, of, ends, start[passes], self.level[passes])
        off = (objective(landscape, points) - self.objectives[passes]).abs()
        is_nearer = off < self.off[passes]
        taken = passes.nonzero()[is_nearer, 0]
        self.points[taken] = points[is_nearer]
        self.off[taken] = off[is_nearer]

    def are_over(self, now: Tensor) -> bool:
        """Whether objectives of `now` [A] are so far below those asked that what follows is none
        the nearer."""
        below = self.objectives - now[self.at]
        return bool((below > self.off).all())


def passages(
    landscape: Landscape,
    cloud: Cloud,
    at: Tensor,
    levels: Mapping[str, Tensor],
    steps: int,
    watch: Callable[[float], None],
    rate: float | Literal["auto"] = "auto",
) -> dict[str, Cloud]:
    """Where full-batch descent from the points `at` [M] of a cloud [A, n] has each of these losses,
    `levels` [M] of every kind, the objective among them: points [M, n] for each kind, NaN where it
    has not within so many steps.

    A data loss rises and falls on the way down, so it may be had in several places: the one nearest
    in objective counts. The step that passes a loss is halved until a straight line through what is
    left, 1/256 of it, is exact enough: none is put through losses that lie apart.
    """
    objectives = levels["objective"]
    found = {kind: Passages(cloud, at, level, objectives) for kind, level in levels.items()}
    before = cloud.clone()
    last = {kind: LOSSES[kind](landscape, before) for kind in found}
    for state in descent(landscape, steps, rate).run(landscape, cloud, 0):
        watch(state.step / steps)
        now = {kind: LOSSES[kind](landscape, state.cloud) for kind in found}
        for kind, places in found.items():
            step = (before, state.cloud)
            places.look(landscape, LOSSES[kind], step, (last[kind], now[kind]))
        if all(places.are_over(now["objective"]) for places in found.values()):
            break
        before, last = state.cloud.clone(), now
    return {kind: places.points for kind, places in found.items()}


def _between(
    landscape: Landscape,
    of: Callable[[Landscape, Cloud], Tensor],
    ends: tuple[Cloud, Cloud],
    start: Tensor,
    level: Tensor,
) -> Cloud:
    """The points [m, n] between two clouds [m, n] where a loss that is `start` [m] at the first has
    its level [m], by halving."""
    low, high = torch.zeros_like(level), torch.ones_like(level)
    at_low, at_high = start.clone(), of(landscape, ends[1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        loss = of(landscape, _mixed(ends, middle))
        is_before = (loss - level) * (start - level) > 0
        low, at_low = torch.where(is_before, middle, low), torch.where(is_before, loss, at_low)
        high, at_high = torch.where(is_before, high, middle), torch.where(is_before, at_high, loss)
    change = at_high - at_low
    share = ((level - at_low) / torch.where(change == 0, 1.0, change)).clamp(0, 1)
    return _mixed(ends, low + share * (high - low))


def _mixed(ends: tuple[Cloud, Cloud], share: Tensor) -> Cloud:
    """(1 − s)·first + s·second [m, n], s [m]."""
    first, second = ends
    return torch.lerp(first, second, share[:, None].to(first))
