"""The records of a cloud at stationarity, over replicas and time, that estimators read.

Everything an estimator needs is recorded once; it may be run again years later, without the
landscape's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from sgdtheory.fokker_planck.law import finite_population_correction
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import TensorsByName
from sgdtheory.temperature.reference_minimum import ReferenceMinimum

Array = np.ndarray


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
    # |θ_s|² [S, P] of the scale-invariant parameters; 0 where there are none
    invariant_norms_squared: Array
    # the next four are means over the steps since the last record
    mean_norms_squared: Array  # |θ_s|² [S, P]
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
    def finite_population_correction(self) -> float:
        """(N−b)/(N−1) without replacement inside a batch, else 1."""
        if self.sampling != "without_replacement" or self.count is None:
            return 1.0
        return finite_population_correction(self.count, self.batch_size)

    def tensors(self) -> TensorsByName:
        """All records by name, with the shapes of the fields, such as `losses` [S, P]."""
        names = (*RECORDED, "early_positions", "steps", "early_steps", "snapshots")
        return {name: torch.from_numpy(np.array(getattr(self, name))) for name in names}

    def part(self, first: int, last: int | None = None) -> "Trajectory":
        """Only the records from `first` up to `last`."""
        kept = {name: getattr(self, name)[first:last] for name in (*RECORDED, "steps")}
        return replace(self, **kept)

    def finite(self) -> "Trajectory":
        """Only the replicas whose loss has stayed finite."""
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


BY_DIRECTION = ("positions", "noise_diagonal", "noise_projections", "early_positions")


def trajectory_of(
    arrays: Mapping[str, Array],
    reference: ReferenceMinimum,
    sgd: SGD,
    count: int | None,
    replicas: int,
) -> Trajectory:
    """A trajectory from its records by name, [S, P] or [S, P, k]; those that were never made are
    empty."""
    directions = len(reference.curvatures)
    records = {}
    for name in (*RECORDED, "early_positions"):
        shape = (0, replicas, directions) if name in BY_DIRECTION else (0, replicas)
        records[name] = np.asarray(arrays.get(name, np.zeros(shape)), np.float64)
    return Trajectory(
        learning_rate=sgd.rate,
        batch_size=sgd.size,
        momentum=sgd.momentum,
        sampling=sgd.sampling,
        count=count,
        loss_at_minimum=reference.loss_at_minimum,
        noise_trace_at_minimum=reference.noise_trace,
        curvatures=reference.curvatures.numpy(),
        steps=np.asarray(arrays["steps"]),
        early_steps=np.asarray(arrays["early_steps"]),
        snapshots=np.asarray(arrays["snapshots"], np.float64),
        invariants=int((reference.groups > 0).sum()),
        weight_decay=reference.weight_decay,
        **records,
    )
