"""What a run of SGD leaves for the estimators: records of a cloud at stationarity, over replicas
and time.

Everything an estimator needs is recorded once; it may be run again years later, without the
landscape's data.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgdtheory.geometry.gradient_noise import whole_pass
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.rng import stream
from sgdtheory.roles import count_of, device_of
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.temperature.norm_dynamics import NormDynamics
from sgdtheory.temperature.reference_minimum import ReferenceMinimum

Array = np.ndarray
EARLY = 24  # looks at the cloud while it spreads, evenly spaced in the logarithm of the step
# windows that a cell takes: two on a network at 2 %, eight where a few directions hold all the
# noise
LIKELY = 4
SNAPSHOTS = (
    4  # points of the last cloud that are kept of a network without a minimum, to be quenched
)
MOST = 64  # windows of records that are held; an even number


@dataclass(frozen=True)
class Trajectory:
    """S records of P replicas; k Hessian directions e_i at θ*. Arrays are float64.

    A record belongs to the point θ at which the step began, with v the velocity after it: there g_B
    and ∇L are both known.
    """

    learning_rate: float  # η
    batch_size: int  # b
    momentum: float  # μ
    sampling: str
    count: int | None  # N; None: a formula
    loss_at_minimum: float | None  # L*
    noise_trace_at_minimum: float  # Tr C(θ*)
    curvatures: Array  # h_i [k]
    steps: Array  # [S]
    losses: Array  # L(θ) [S, P], full-batch
    gradient_norms_squared: Array  # |∇L|² [S, P]
    noise_trace: Array  # Tr C(θ) [S, P], of one sample
    noise_norms_squared: Array  # |g_B − ∇L|² [S, P]
    batch_norms_squared: Array  # |g_B|² [S, P]
    velocity_norms_squared: Array  # |v|² [S, P]
    parameter_norms_squared: Array  # |θ|² [S, P]
    virials: Array  # (θ − θ*)·∇L [S, P]
    positions: Array  # e_i·(θ − θ*) [S, P, k]
    noise_diagonal: Array  # e_i·C(θ)e_i [S, P, k]
    noise_projections: Array  # e_i·(g_B − ∇L) [S, P, k]
    invariant_norms_squared: (
        Array  # |θ_s|² [S, P] of the scale-invariant parameters; 0 where there are none
    )
    mean_norms_squared: (
        Array  # |θ_s|² [S, P], like the next three a mean over the steps since the last record
    )
    mean_norms_fourth: Array  # |θ_s|⁴ [S, P]
    mean_velocities_squared: Array  # |v_s|² [S, P]
    mean_pulls: Array  # |θ_s|²|g_s|² [S, P], g_s the mini-batch gradient without weight decay
    early_steps: Array  # [E]
    early_positions: Array  # e_i·(θ − θ*) [E, P, k] while the cloud spreads
    snapshots: Array  # [Q, n] of the last cloud where parameters are scale-invariant, else [0, n]
    invariants: int = 0  # how many parameters are scale-invariant
    weight_decay: float = 0.0  # λ

    @property
    def replicas(self) -> int:
        return int(self.losses.shape[1])

    @property
    def population(self) -> float:
        """(N−b)/(N−1) without replacement inside a batch, else 1."""
        if self.sampling != "without_replacement" or self.count is None:
            return 1.0
        return (self.count - self.batch_size) / max(1, self.count - 1)

    def tensors(self) -> dict[str, Tensor]:
        """What was recorded, to be kept."""
        names = (*RECORDED, "early_positions", "steps", "early_steps", "snapshots")
        return {name: torch.from_numpy(np.array(getattr(self, name))) for name in names}

    def part(self, first: int, last: int | None = None) -> "Trajectory":
        """The records from `first` up to `last` alone."""
        return replace(
            self, **{name: getattr(self, name)[first:last] for name in (*RECORDED, "steps")}
        )

    def finite(self) -> "Trajectory":
        """The replicas alone whose loss has stayed finite."""
        alive = np.isfinite(self.losses).all(0) & np.isfinite(self.velocity_norms_squared).all(0)
        if alive.all():
            return self
        kept = {name: getattr(self, name)[:, alive] for name in (*RECORDED, "early_positions")}
        return replace(self, **kept)


RECORDED = (
    "losses",
    "gradient_norms_squared",
    "noise_trace",
    "noise_norms_squared",
    "batch_norms_squared",
    "velocity_norms_squared",
    "parameter_norms_squared",
    "virials",
    "positions",
    "noise_diagonal",
    "noise_projections",
    "invariant_norms_squared",
    "mean_norms_squared",
    "mean_norms_fourth",
    "mean_velocities_squared",
    "mean_pulls",
)


@dataclass(frozen=True)
class Recipe:
    """When to look: after `burn` steps every `every`-th, in windows of `window` records, for at
    most `windows` of them.

    No more than MOST windows are held: when they are full every other record is dropped, and looks
    are twice as far apart from then on.
    """

    burn: int
    every: int
    window: int
    windows: int

    @property
    def steps(self) -> int:
        return self.burn + self.every * self.window * self.windows

    def done(self, step: int) -> float:
        """The share of the work that is done, for whoever watches: most cells are precise enough
        after LIKELY windows."""
        likely = self.burn + self.every * self.window * min(LIKELY, self.windows)
        return (
            min(step / likely, 1 - 0.2 * likely / (step + likely * 0.25))
            if step > 0.75 * likely
            else step / likely
        )

    def early(self) -> set[int]:
        """Steps at which the spreading cloud is looked at."""
        return {int(step) for step in np.geomspace(1, max(2, self.burn), EARLY).round()}

    def is_full(self, seen: Sequence[int]) -> bool:
        """Whether there is no room for another record after those of the steps `seen`."""
        return len(seen) == MOST * self.window

    def looks_at(self, step: int, seen: Sequence[int]) -> bool:
        """Whether a record is made after `step`; the first of those that are held is one spacing
        after `burn`."""
        apart = (seen[0] - self.burn if seen else self.every) * (2 if self.is_full(seen) else 1)
        return step > self.burn and (step - self.burn) % apart == 0


def record(
    folder: UnitFolder,
    landscape: Landscape,
    ground: ReferenceMinimum,
    sgd: SGD,
    recipe: Recipe,
    replicas: int,
    seed: int,
    dtype: torch.dtype,
    enough: Callable[[Trajectory], bool],
) -> Trajectory:
    """Let `replicas` points start where the ground says, burn in, and be looked at until there is
    `enough`, which is asked at every record from the second window on.

    Goes on from the newest state in the folder. Memory and state hold the current cloud and at most
    MOST windows of records, a few numbers a replica each: nothing grows with the number of steps.
    """
    device = device_of(landscape)
    bottom, directions, groups = (
        ground.theta.to(device, dtype),
        ground.directions.to(device, dtype),
        ground.groups.to(device),
    )
    sgd = SGD(
        recipe.steps,
        sgd.batch_size,
        sgd.learning_rate,
        Constant(),
        sgd.momentum,
        sampling=sgd.sampling,
    )
    assert not isinstance(sgd.learning_rate, str)
    state: Cloud | SGDState = ground.start.to(device, dtype).expand(replicas, -1).clone()
    sums: Tensor | None = None
    rows: dict[str, list[Tensor]] = {}
    steps: dict[str, list[int]] = {"steps": [], "early_steps": []}
    if (resumed := folder.resume("cloud")) is not None:
        tensors, facts = resumed
        state = SGDState(
            facts["step"], tensors.pop("cloud").to(device), tensors.pop("velocity").to(device)
        )
        sums = tensors.pop("pace").to(device)
        rows, steps = {name: list(values) for name, values in tensors.items()}, facts["steps"]

    pace = NormDynamics(groups, sgd.learning_rate, ground.weight_decay, replicas, sums)

    def so_far() -> Trajectory:
        arrays = {name: torch.stack(values).double().numpy() for name, values in rows.items()}
        times = {name: np.asarray(values, np.int64) for name, values in steps.items()}
        last = state.cloud if isinstance(state, SGDState) else state
        kept = last[: SNAPSHOTS if len(pace.at) else 0].double().cpu().numpy()
        return trajectory_of(
            {**arrays, **times, "snapshots": kept}, ground, sgd, count_of(landscape), replicas
        )

    if len(steps["steps"]) >= 2 * recipe.window and enough(so_far()):
        return so_far()
    early = recipe.early()
    for now in sgd.run(landscape, state, seed):
        step, looked, state = now.step, False, now
        pace.see(now)
        if step in early:
            steps["early_steps"].append(step)
            rows.setdefault("early_positions", []).append(
                ((now.cloud - bottom) @ directions.T).cpu()
            )
        if recipe.looks_at(step, steps["steps"]):
            if recipe.is_full(steps["steps"]):
                steps["steps"] = steps["steps"][1::2]
                rows.update({name: rows[name][1::2] for name in RECORDED})
            steps["steps"].append(step)
            source = stream(seed, "record", step)
            seen = {
                **look(landscape, now, sgd, bottom, directions, source, pace.at),
                **pace.means(),
            }
            for name, value in seen.items():
                rows.setdefault(name, []).append(value.cpu())
            looked = len(steps["steps"]) >= 2 * recipe.window

        def kept(now: SGDState = now) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
            tensors = {name: torch.stack(values) for name, values in rows.items()}
            return {**now.tensors(), **tensors, **pace.tensors()}, {
                "stage": "cloud",
                "step": now.step,
                "steps": steps,
            }

        what = "burning in" if step <= recipe.burn else "sampling"
        folder.keep(kept, recipe.done(step), what)
        if looked and enough(so_far()):
            break
    return so_far()


def look(
    landscape: Landscape,
    state: SGDState,
    sgd: SGD,
    bottom: Tensor,
    directions: Tensor,
    source: torch.Generator,
    invariant: Tensor | None = None,
) -> dict[str, Tensor]:
    """One record: everything at the point where the last step began, θ = θ_new + ηv (to rounding),
    float64.

    `invariant`: the indices of the scale-invariant parameters, if there are any.

    """
    assert (
        state.gradients is not None
        and not isinstance(sgd.learning_rate, str)
        and sgd.batch_size is not None
    )
    theta = state.cloud + sgd.learning_rate * state.velocity
    seen = whole_pass(landscape, theta, sgd.batch_size, source, directions)
    away, noise = theta - bottom, state.gradients - seen.gradients

    def squares(rows: Tensor) -> Tensor:
        norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
        return norms.square()

    return {
        "losses": seen.losses,
        "gradient_norms_squared": seen.gradient_norms_squared,
        "noise_trace": seen.noise_trace,
        "noise_norms_squared": squares(noise),
        "batch_norms_squared": squares(state.gradients),
        "velocity_norms_squared": squares(state.velocity),
        "parameter_norms_squared": squares(theta),
        "virials": (away.double() * seen.gradients.double()).sum(1),
        "positions": (away @ directions.T).double(),
        "noise_diagonal": seen.noise_diagonal,
        "noise_projections": (noise @ directions.T).double(),
        "invariant_norms_squared": squares(theta[:, [] if invariant is None else invariant]),
    }


def trajectory_of(
    arrays: Mapping[str, Array],
    ground: ReferenceMinimum,
    sgd: SGD,
    count: int | None,
    replicas: int,
) -> Trajectory:
    """A trajectory from what was recorded; parts that were never looked at are empty."""
    assert not isinstance(sgd.learning_rate, str) and sgd.batch_size is not None
    k = len(ground.curvatures)
    wide = ("positions", "noise_diagonal", "noise_projections", "early_positions")
    empty = {
        name: np.zeros((0, replicas, k) if name in wide else (0, replicas))
        for name in (*RECORDED, "early_positions")
    }
    found = {
        name: np.asarray(arrays.get(name, nothing), np.float64) for name, nothing in empty.items()
    }
    found["snapshots"] = np.asarray(arrays["snapshots"], np.float64)
    return Trajectory(
        sgd.learning_rate,
        sgd.batch_size,
        sgd.momentum,
        sgd.sampling,
        count,
        ground.height,
        ground.noise_trace,
        ground.curvatures.numpy(),
        np.asarray(arrays["steps"]),
        early_steps=np.asarray(arrays["early_steps"]),
        invariants=int((ground.groups > 0).sum()),
        weight_decay=ground.weight_decay,
        **found,
    )
