"""The curvature at which a cloud comes down, compared with gradient descent's at equal loss."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.geometry.traces import hessian_trace
from sgdtheory.protocol import Cloud, Landscape, value_and_grad
from sgdtheory.rng import key, stream
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.studies.shared.passages import LOSSES, descent, passages

# times the relative rounding of a number, and Tr H: what two descents to one loss are apart in Tr H
# by rounding alone is up to 1.5 of it (measured)
ROUNDING = 8
FEWEST = 0.5  # of the replicas, whose loss gradient descent must pass


@dataclass(frozen=True)
class Rest:
    """R points that have come down; NaN of a point that is none."""

    objective: np.ndarray  # [R]
    data_loss: np.ndarray  # [R]
    trace: np.ndarray  # Tr H [R]
    norm: np.ndarray  # |θ| [R]
    gradient: np.ndarray  # |∇L| of the objective [R]
    rounding: float = 0.0  # relative, of Tr H

    @classmethod
    def at(
        cls,
        landscape: Landscape,
        cloud: Cloud,
        seed: int,
        sketch: int,
        probes: int,
    ) -> "Rest":
        """Of a cloud [R, n]; `sketch` and `probes` as in `hessian_trace`. Of two clouds with one
        seed the points of one number are seen by the same probes."""
        numbers = [*LOSSES, "trace", "norm", "gradient"]
        measured = {name: np.full(len(cloud), np.nan) for name in numbers}
        is_point = cloud.isfinite().all(1)
        points = cloud[is_point]
        if len(points):
            places = is_point.cpu().numpy()
            for kind, of in LOSSES.items():
                measured[kind][places] = of(landscape, points).cpu().numpy()
            _, gradients = value_and_grad(landscape, points)
            measured["gradient"][places] = gradients.norm(dim=1).double().cpu().numpy()
            measured["norm"][places] = points.norm(dim=1).double().cpu().numpy()
        for r in is_point.nonzero()[:, 0].tolist():
            source = stream(seed, "trace", r)
            measured["trace"][r] = hessian_trace(landscape, cloud[r], source, sketch, probes).value
        return cls(**measured, rounding=ROUNDING * torch.finfo(cloud.dtype).eps)


@dataclass(frozen=True)
class Quench:
    """How a hot cloud descends, and how its Tr H is compared with gradient descent's at equal loss.

    `replicas` of each cloud descend the whole objective for `relax` steps, and on to gradient
    descent's objective, `most` steps at most. Gradient descent goes on from its own end for
    `further` steps at most, to where it has the very loss of each replica (see `passages`).
    `sketch`, `probes`: of Tr H (see `hessian_trace`). `learning_rate`: of all descents on a network
    (see `SGD`); that of a formula is adapted to it.
    """

    replicas: Annotated[int, Ge(2)] = 8
    relax: PositiveInt = 100
    most: PositiveInt = 1000
    further: PositiveInt = 1500
    sketch: PositiveInt = 32
    probes: Annotated[int, Ge(2)] = 32
    learning_rate: PositiveFloat | Literal["auto"] = "auto"

    def rests(
        self,
        landscape: Landscape,
        hot: Sequence[Cloud],
        cold: Cloud,
        seed: int,
        watch: Callable[[float], None],
    ) -> list[Rows]:
        """Descend from the replicas [A, R, n] of each cloud and from gradient descent's end [A, n],
        and measure Tr H where losses are equal: for each cloud one row for each point of the path.
        """
        level = LOSSES["objective"](landscape, cold)
        clouds: list[Cloud] = []  # [R, n] of each cloud and point
        for each in hot:
            start = each[:, : self.replicas].flatten(0, 1)
            levels = level.repeat_interleave(len(start) // len(cold))
            down, reached = let_down(
                landscape, start, self.relax, self.most, levels, watch, self.learning_rate
            )
            pieces = zip(down.chunk(len(cold)), reached.chunk(len(cold)), strict=True)
            clouds += [points[is_down] for points, is_down in pieces]
        rests = []
        for k, points in enumerate(clouds):
            watch(1.0)
            own = key(seed, "rest", k)
            rests.append(Rest.at(landscape, points, own, self.sketch, self.probes))
        at = [k % len(cold) for k in range(len(clouds))]
        descents = self._descents(landscape, cold, at, rests, seed, watch)
        rows = [rest_row(*each) for each in zip(rests, *descents, strict=True)]
        many = len(cold)
        return [rows[k : k + many] for k in range(0, len(rows), many)]

    def _descents(
        self,
        landscape: Landscape,
        cold: Cloud,
        at: Sequence[int],
        rests: Sequence[Rest],
        seed: int,
        watch: Callable[[float], None],
    ) -> tuple[list[Rest], ...]:
        """Gradient descent from the points `at` of its end [A, n], where it has the losses of
        replicas: those at their objectives, and those at their data losses."""
        counts = [len(rest.trace) for rest in rests]
        starts = torch.tensor(at, device=cold.device).repeat_interleave(
            torch.tensor(counts, device=cold.device)
        )
        levels = {}
        for kind in LOSSES:
            joined = np.concatenate([getattr(rest, kind) for rest in rests])
            levels[kind] = torch.as_tensor(joined, device=cold.device)
        found = passages(landscape, cold, starts, levels, self.further, watch, self.learning_rate)
        measured = []
        for kind in LOSSES:
            own = []
            for k, points in enumerate(found[kind].split(counts)):
                watch(1.0)
                seed_of_rest = key(seed, "rest", k)
                own.append(Rest.at(landscape, points, seed_of_rest, self.sketch, self.probes))
            measured.append(own)
        return tuple(measured)


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


def lower(rest: Rest, cold: Rest, kind: str) -> Measured:
    """Tr H of gradient descent where it has the replicas' losses, `cold`, less theirs: mean over
    replicas with its standard error, which holds the probes' and the rounding's.

    Replica by replica at the same loss, by the same probes. A replica whose loss gradient descent
    never has is left out; no number where these are more than half, or fewer than two are left.
    """
    differences = cold.trace - rest.trace
    differences = differences[np.isfinite(differences)]
    count, words = len(rest.trace), kind.replace("_", " ")
    if count < 2:
        return Measured.nothing("fewer than two replicas came down: raise quench.most")
    if len(differences) < max(2, FEWEST * count):
        return Measured.nothing(
            f"gradient descent has the {words} of {len(differences)} of {count} replicas alone, "
            f"{float(getattr(rest, kind).mean()):.4g} in the mean: raise quench.further"
        )
    mean = Measured.mean(differences)
    if mean.value is None or mean.stderr is None:
        return mean
    rounding = rest.rounding * float(np.abs(rest.trace).max())
    return Measured(mean.value, float(np.hypot(mean.stderr, rounding)))


def rest_row(rest: Rest, by_objective: Rest, by_data_loss: Rest) -> Row:
    """One row for the replicas of one point that have come down: Tr H there, gradient descent's at
    their objectives, and what it is lower by at equal objective and at equal data loss.
    """
    measured = {}
    for name in ("trace", "objective", "data_loss", "norm", "gradient"):
        measured[name] = Measured.mean(getattr(rest, name))
        own = getattr(by_objective, name)
        measured[f"descent_{name}"] = Measured.mean(own[np.isfinite(own)])
    measured["lower"] = lower(rest, by_objective, "objective")
    measured["lower_at_data_loss"] = lower(rest, by_data_loss, "data_loss")
    compared = int(np.isfinite(by_data_loss.trace).sum())
    facts = {"at_rest": len(rest.trace), "at_data_loss": compared}
    return row_of(facts, **measured)
