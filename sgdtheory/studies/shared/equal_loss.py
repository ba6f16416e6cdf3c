"""The curvature at which a cloud comes to rest, compared with gradient descent's at equal loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.geometry.traces import hessian_trace
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.profile import train_losses
from sgdtheory.protocol import Cloud, Landscape, values
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import is_scored
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows

MOMENTUM = 0.9  # of full-batch descent
# times the probes, and twice the sketch, for gradient descent's Tr H, whose error is common to all
# replicas
MORE = 4


@dataclass(frozen=True)
class Rest:
    """R points at rest."""

    objective: np.ndarray  # [R]
    data_loss: np.ndarray  # [R]
    trace: np.ndarray  # Tr H [R]
    trace_stderr: np.ndarray  # [R]
    norm: np.ndarray  # |θ| [R]

    @classmethod
    def at(
        cls,
        landscape: Landscape,
        cloud: Cloud,
        seed: int,
        sketch: int,
        probes: int,
    ) -> "Rest":
        """Of a cloud [R, n]; `sketch` and `probes` as in `hessian_trace`."""
        traces = []
        for r, x in enumerate(cloud):
            source = stream(seed, "trace", r)
            traces.append(hessian_trace(landscape, x, source, sketch, probes))
        errors = np.array([trace.stderr or 0.0 for trace in traces])
        objective = values(landscape, cloud).double().cpu().numpy()
        norm = cloud.norm(dim=1).double().cpu().numpy()
        data_loss = train_losses(landscape, cloud).cpu().numpy()
        values_of_traces = np.array([trace.value for trace in traces], float)
        return cls(objective, data_loss, values_of_traces, errors, norm)


@dataclass(frozen=True)
class Quench:
    """How a hot cloud descends, and how its Tr H is compared with gradient descent's at equal loss.

    `replicas` of each cloud descend the whole objective for `relax` steps, and on to gradient
    descent's objective, `most` steps at most. Gradient descent goes on from its own end for
    `further` steps, so that its Tr H is known as a function of its loss. `sketch`, `probes`: of a
    replica's Tr H (see `hessian_trace`). `learning_rate`: of all descents on a network (see `SGD`);
    that of a formula is adapted to it.
    """

    replicas: Annotated[int, Ge(2)] = 8
    relax: PositiveInt = 20
    most: PositiveInt = 1000
    further: Annotated[tuple[PositiveInt, ...], MinLen(1)] = (50, 100, 200, 400, 800, 1500)
    sketch: PositiveInt = 32
    probes: Annotated[int, Ge(2)] = 32
    learning_rate: PositiveFloat | Literal["auto"] = "auto"

    def floor(self, landscape: Landscape, cloud: Cloud, seed: int) -> list[Rest]:
        """Gradient descent at its end [A, n] and further down."""
        clouds = [cloud, *below(landscape, cloud, self.further, self.learning_rate)]
        rests = []
        for k, points in enumerate(clouds):
            own = key(seed, k)
            rest = Rest.at(landscape, points, own, 2 * self.sketch, MORE * self.probes)
            rests.append(rest)
        return rests

    def rests(
        self,
        landscape: Landscape,
        hot: Cloud,
        floor: list[Rest],
        seed: int,
        watch: Callable[[float], None],
    ) -> Rows:
        """Descend from replicas [A, R, n], and measure Tr H there: one row for each point of the
        path."""
        cloud = hot[:, : self.replicas].flatten(0, 1)
        level = torch.as_tensor(floor[0].objective).to(hot)
        level = level.repeat_interleave(len(cloud) // len(hot))
        rest, reached = let_down(
            landscape, cloud, self.relax, self.most, level, watch, self.learning_rate
        )
        clouds = rest.chunk(len(hot))
        masks = reached.chunk(len(hot))
        rows = []
        for at, points in enumerate(clouds):
            watch(1.0)
            here = points[masks[at]]
            at_rest = Rest.at(landscape, here, key(seed, "rest", at), self.sketch, self.probes)
            rows.append(rest_row(at_rest, floor, at))
        return rows


def descent(landscape: Landscape, steps: int, rate: float | Literal["auto"]) -> SGD:
    """Heavy-ball descent of the whole objective, on a formula at the rate adapted to it (see
    `SGD`).
    """
    return SGD(steps, None, rate if is_scored(landscape) else "auto", Constant(), MOMENTUM)


def let_down(
    landscape: Landscape,
    cloud: Cloud,
    relax: int,
    most: int,
    level: Tensor,
    watch: Callable[[float], None],
    rate: float | Literal["auto"] = "auto",
) -> tuple[Cloud, Tensor]:
    """Full-batch descent of every point [R, n] for `relax` steps, then on until its objective is at
    most `level` [R].

    Returns the points [R, n] where that was, and whether it was within `most` steps [R]. They relax
    first, because a point that is still hot may have the loss of another above a lower minimum.
    """
    reached = torch.zeros(len(cloud), dtype=torch.bool, device=cloud.device)
    rest = cloud.clone()
    before = cloud.clone()
    for state in descent(landscape, most + 1, rate).run(landscape, cloud, 0):
        watch(state.step / most)
        assert state.losses is not None  # those where the step began
        if state.step > relax:
            new = (state.losses <= level) & ~reached
            rest[new] = before[new]
            reached |= new
        if bool(reached.all()):
            break
        before = state.cloud.clone()
    return rest, reached


def below(
    landscape: Landscape,
    cloud: Cloud,
    steps: Sequence[int],
    rate: float | Literal["auto"] = "auto",
) -> list[Cloud]:
    """Where full-batch descent from a cloud [A, n] is after so many steps, [A, n] each."""
    states = descent(landscape, max(steps), rate).run(landscape, cloud, 0)
    return [state.cloud.clone() for state in states if state.step in steps]


def lower(
    rest: Rest,
    floor: list[Rest],
    at: int,
    by: str,
) -> Measured:
    """Tr H of gradient descent at the replicas' losses, less their Tr H: mean over replicas with
    its standard error.

    `floor`: gradient descent from the same point, later ones further down, row `at`; between its
    points Tr H is taken to be linear in the loss, and for single replicas a little beyond them.
    `by`: objective | data_loss, which need not fall all the way: the place where gradient descent
    first passes a replica's loss counts. No number where it is never at the replicas' mean.
    """
    loss = np.array([getattr(point, by)[at] for point in floor])
    trace = np.array([point.trace[at] for point in floor])
    error = np.array([point.trace_stderr[at] for point in floor])
    loss_at_rest = getattr(rest, by)
    if len(loss_at_rest) < 2:
        return Measured.nothing("fewer than two replicas came to rest")
    if not loss.min() <= loss_at_rest.mean() <= loss.max():
        words = by.replace("_", " ")
        return Measured.nothing(
            f"their {words} is {loss_at_rest.mean():.4g}, gradient descent's "
            f"{loss.max():.4g} to {loss.min():.4g}"
        )
    inside = loss_at_rest.clip(loss.min(), loss.max())[:, None]  # [R, 1]
    over_start = inside - loss[:-1]
    over_end = inside - loss[1:]
    # [R], the first piece that passes each
    passes = over_start * over_end <= 0
    k = passes.argmax(1)
    falls = np.diff(loss)
    widths = np.where(falls == 0, np.inf, falls)
    slopes = np.diff(trace) / widths
    descent = trace[k] + (loss_at_rest - loss[k]) * slopes[k]
    mean = Measured.mean(descent - rest.trace)
    assert mean.value is not None and mean.stderr is not None
    return Measured(mean.value, float(np.hypot(mean.stderr, error.max())))


def rest_row(rest: Rest, floor: list[Rest], at: int) -> Row:
    """One row for the replicas of one point at rest: Tr H there, at gradient descent's end, and the
    difference at equal loss.
    """
    names = ("trace", "objective", "data_loss", "norm")
    measured = {name: Measured.mean(getattr(rest, name)) for name in names}
    measured["lower"] = lower(rest, floor, at, "objective")
    measured["lower_at_data_loss"] = lower(rest, floor, at, "data_loss")
    row = row_of({"at_rest": len(rest.trace)}, **measured)
    for name in ("trace", "trace_stderr", "objective", "data_loss", "norm"):
        row[f"descent_{name}"] = float(getattr(floor[0], name)[at])
    return row
