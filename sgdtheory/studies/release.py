"""Points of a path set free: where they go, and how flat the ground is that they come to, at equal loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sgdtheory.cloud import length, points_at
from sgdtheory.landscape import Cloud, values
from sgdtheory.measured import Measured
from sgdtheory.profile import train_losses
from sgdtheory.schedule import Constant
from sgdtheory.sgd import SGD
from sgdtheory.streams import stream
from sgdtheory.studies.study import row_of
from sgdtheory.studies.traces import hessian_trace

MOMENTUM = 0.9  # of full-batch descent that lets a cloud down


class Frame(NamedTuple):
    """Coordinates of what is released at A points of a path. Both are along fixed directions: arc positions of nearest points
    would be held by a polyline's vertices."""

    first: Tensor  # [n], the end at 0
    start: Cloud  # [A, n]
    chord: Tensor  # [n], from end to end
    tangent: Tensor  # [A, n], of length one
    length: float  # of the path
    outward: Tensor  # [A], the sign that leads to the nearer end

    @classmethod
    def of(cls, path: Tensor, at: Sequence[float]) -> "Frame":
        """The tangent at s is the direction from one mean gap between pivots before it to one after."""
        s = torch.tensor(at, dtype=torch.float64, device=path.device)
        gap = 1 / (len(path) - 1)
        tangent = points_at(path, (s + gap).clamp_max(1)) - points_at(path, (s - gap).clamp_min(0))
        unit = tangent / tangent.norm(dim=1, keepdim=True)
        return cls(path[0], points_at(path, s), path[-1] - path[0], unit, length(path), torch.where(s < 0.5, -1.0, 1.0))

    def along_chord(self, moved: Tensor) -> Tensor:
        """Displacements [A, R, n] → their part along the chord in units of it, towards the nearer end [A, R], float64."""
        chord = self.chord.double()
        return self.outward[:, None] * (moved.double() @ chord) / chord.square().sum()

    def along_tangent(self, moved: Tensor) -> Tensor:
        """The same along the path's tangent, in units of the path's length."""
        return self.outward[:, None] * torch.einsum("arn,an->ar", moved.double(), self.tangent.double()) / self.length

    def by_growth(self, moved: Tensor) -> Tensor:
        """The part of `along_chord` that is growth of |θ|: a path bends away from the origin less than its ends lie apart, so
        that a longer θ of the same direction stands further out."""
        radial = self.start.double() / self.start.double().norm(dim=1, keepdim=True)
        grown = torch.einsum("arn,an->ar", moved.double(), radial)
        return self.along_chord(grown[:, :, None] * radial[:, None])

    def way(self, cloud: Cloud) -> Tensor:
        """The share of the way along the chord from the start to the nearer end that clouds [A, R, n] have made, [A, R]."""
        end = torch.where(self.outward < 0, 0.0, 1.0).double()
        there = ((self.start.double() - self.first.double()) @ self.chord.double()) / self.chord.double().square().sum()
        return self.along_chord(cloud - self.start[:, None]) / (end - there).abs()[:, None]


@dataclass(frozen=True)
class Rest:
    """What is known of points at rest [R]: the objective, the data loss and Tr H of each, |θ|."""

    objective: np.ndarray
    data_loss: np.ndarray
    trace: np.ndarray
    trace_stderr: np.ndarray
    norm: np.ndarray

    @classmethod
    def at(cls, landscape: Any, cloud: Cloud, seed: int, sketch: int, probes: int) -> "Rest":
        """`sketch` and `probes` as in `hessian_trace`."""
        traces = [hessian_trace(landscape, x, stream(seed, "trace", r), sketch, probes) for r, x in enumerate(cloud)]
        errors = np.array([each.stderr or 0.0 for each in traces])
        objective, norm = values(landscape, cloud).double().cpu().numpy(), cloud.norm(dim=1).double().cpu().numpy()
        data_loss = train_losses(landscape, cloud).cpu().numpy()
        return cls(objective, data_loss, np.array([each.value for each in traces], float), errors, norm)


def descent(steps: int) -> SGD:
    """Heavy-ball descent of the whole objective at the rate that suits the landscape (see `SGD`)."""
    return SGD(steps, None, "auto", Constant(), MOMENTUM)


def let_down(
    landscape: Any, cloud: Cloud, relax: int, most: int, level: Tensor, watch: Callable[[float], None]
) -> tuple[Cloud, Tensor]:
    """Full-batch descent of every point [R] for `relax` steps, then on until its objective is at most `level` [R].

    Gives the clouds where that was, and whether it was within `most` steps, [R]. Relaxed first, for a point that is still hot
    may have the loss of another and stand on lower ground.
    """
    rest, reached = cloud.clone(), torch.zeros(len(cloud), dtype=torch.bool, device=cloud.device)
    before = cloud.clone()
    for state in descent(most + 1).run(landscape, cloud, 0):
        watch(state.step / most)
        assert state.losses is not None  # those where the step began
        new = (state.losses <= level) & ~reached if state.step > relax else torch.zeros_like(reached)
        rest[new] = before[new]
        reached |= new
        if bool(reached.all()):
            break
        before = state.cloud.clone()
    return rest, reached


def below(landscape: Any, cloud: Cloud, steps: Sequence[int]) -> list[Cloud]:
    """Where full-batch descent from each point [A] is after so many steps, [A, n] each."""
    return [state.cloud.clone() for state in descent(max(steps)).run(landscape, cloud, 0) if state.step in steps]


def lower(rest: Rest, floor: list[Rest], at: int, by: str) -> Measured:
    """Tr H of gradient descent at a replica's own loss, less the replica's Tr H: mean over replicas with its standard error.

    `floor`: gradient descent from the same point, the further down the later, row `at`; between its points Tr H is linear in
    the loss. `by`: objective | data_loss. Nothing where replicas have a loss that gradient descent does not pass.
    """
    loss = np.array([getattr(each, by)[at] for each in floor])
    trace, error = (np.array([getattr(each, name)[at] for each in floor]) for name in ("trace", "trace_stderr"))
    mine = getattr(rest, by)
    if len(mine) < 2:
        return Measured.nothing("fewer than two replicas came to rest")
    if (np.diff(loss) >= 0).any() or mine.max() > loss[0] or mine.min() < loss[-1]:
        few = f"{mine.min():.4g} … {mine.max():.4g}, gradient descent's from {loss[0]:.4g} to {loss[-1]:.4g}"
        return Measured.nothing(f"their {by.replace('_', ' ')} is {few}")
    mean = Measured.mean(np.interp(mine, loss[::-1], trace[::-1]) - rest.trace)
    assert mean.value is not None and mean.stderr is not None
    return Measured(mean.value, float(np.hypot(mean.stderr, error.max())))


def drift_row(frame: Frame, cloud: Cloud, descent: Cloud, at: int) -> dict[str, Any]:
    """How far replicas of one point [A, R, n] are from gradient descent [A, 1, n], towards the nearer end: means over R."""
    away, moved = cloud - descent, descent - frame.start[:, None]

    def mean(x: Tensor) -> Measured:
        return Measured.mean(x[at].cpu())

    return row_of(
        {
            "chord_descent": float(frame.along_chord(moved)[at, 0]),
            "tangent_descent": float(frame.along_tangent(moved)[at, 0]),
            "distance_descent": float(moved[at, 0].norm()),
            "norm_start": float(frame.start[at].norm()),
        },
        chord=mean(frame.along_chord(away)),
        tangent=mean(frame.along_tangent(away)),
        growth=mean(frame.by_growth(away)),
        way=mean(frame.way(cloud)),
        distance=mean((cloud - frame.start[:, None]).norm(dim=2)),
        norm=mean(cloud.norm(dim=2)),
    )


def rest_row(rest: Rest, floor: list[Rest], at: int) -> dict[str, Any]:
    """How flat it is where replicas of one point came to rest, beside gradient descent's end and at equal loss."""
    measured = {name: Measured.mean(getattr(rest, name)) for name in ("trace", "objective", "data_loss", "norm")}
    names = ("trace", "trace_stderr", "objective", "data_loss", "norm")
    descent = {f"descent_{name}": float(getattr(floor[0], name)[at]) for name in names}
    found = {"lower": lower(rest, floor, at, "objective"), "lower_at_data_loss": lower(rest, floor, at, "data_loss")}
    return row_of({"at_rest": len(rest.trace)}, **measured, **found) | descent
