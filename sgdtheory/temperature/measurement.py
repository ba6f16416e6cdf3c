"""A cloud is let go at a minimum, spreads, and is measured until its temperature is known."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from sgdtheory.geometry.gradient_noise import whole_pass
from sgdtheory.optim.checkpointed import Beside, Resumed, checkpointed, resume
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.rng import stream
from sgdtheory.roles.examples import count_of
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.temperature.norm_dynamics import NormDynamics
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.schedule import MeasurementSchedule
from sgdtheory.temperature.trajectory import RECORDED, Trajectory, trajectory_of

STAGE = "cloud"
# points of the last cloud that are kept of a network without a minimum, to be quenched
SNAPSHOTS = 4


def measure_trajectory(
    folder: UnitFolder,
    landscape: Landscape,
    reference: ReferenceMinimum,
    sgd: SGD,
    schedule: MeasurementSchedule,
    replicas: int,
    seed: int,
    dtype: torch.dtype,
    converged: Callable[[Trajectory], bool],
) -> Trajectory:
    """Let `replicas` points start at the reference, burn in, and be measured until `converged`,
    which is asked at every record from the second window on.

    Continues from the newest state in the folder. Memory and state hold the current cloud and at
    most MOST windows of records, a few numbers for each replica: nothing grows with the number of
    steps.
    """
    records = Records(
        landscape,
        reference,
        sgd,
        schedule,
        replicas,
        seed,
        dtype,
    )
    resumed = resume(folder, STAGE, device_of(landscape))
    if resumed is not None:
        records.resume(resumed)
    if records.can_be_judged and converged(records.trajectory()):
        return records.trajectory()

    def progress(step: int) -> tuple[float, str]:
        activity = "burning in" if step <= schedule.burn_in else "sampling"
        return schedule.done(step), activity

    states = checkpointed(
        folder, STAGE, records.descent, landscape, records.state, seed, records.gathered, progress
    )
    for state in states:
        has_measured = records.see(state)
        if has_measured and records.can_be_judged and converged(records.trajectory()):
            break
    return records.trajectory()


@dataclass
class Records:
    """The records of a cloud so far, and the state of the descent that they belong to."""

    landscape: Landscape
    reference: ReferenceMinimum
    sgd: SGD
    schedule: MeasurementSchedule
    replicas: int
    seed: int
    dtype: torch.dtype
    rows: dict[str, list[Tensor]] = field(default_factory=dict)  # on the CPU, by name
    steps: dict[str, list[int]] = field(
        default_factory=lambda: {"steps": [], "early_steps": []}
    )  # those of the records, and of the early positions

    def __post_init__(self) -> None:
        device = device_of(self.landscape)
        self.minimum = self.reference.theta.to(device, self.dtype)  # θ* [n]
        self.directions = self.reference.directions.to(device, self.dtype)  # e_i [k, n]
        start = self.reference.start.to(device, self.dtype)
        self.state: Cloud | SGDState = start.expand(self.replicas, -1).clone()
        self.early = self.schedule.early()
        self.descent = replace(
            self.sgd, steps=self.schedule.steps, schedule=Constant(), nesterov=False
        )
        self.norms = self._norm_dynamics(None)

    def _norm_dynamics(self, sums: Tensor | None) -> NormDynamics:
        rate = self.descent.learning_rate
        assert not isinstance(rate, str)
        groups = self.reference.groups.to(device_of(self.landscape))
        return NormDynamics(groups, rate, self.reference.weight_decay, self.replicas, sums)

    def resume(self, resumed: Resumed) -> None:
        """Continue from a checkpoint."""
        self.state = resumed.state
        self.norms = self._norm_dynamics(resumed.tensors.pop("pace"))
        self.rows = {name: list(values.cpu()) for name, values in resumed.tensors.items()}
        self.steps = resumed.facts["steps"]

    def gathered(self) -> Beside:
        """The records so far, and the sums of the norms since the last."""
        tensors = {name: torch.stack(values) for name, values in self.rows.items()}
        return Beside({**tensors, **self.norms.tensors()}, {"steps": self.steps})

    @property
    def can_be_judged(self) -> bool:
        """Whether there are two windows of records."""
        return len(self.steps["steps"]) >= 2 * self.schedule.window

    def see(self, state: SGDState) -> bool:
        """Take in one step; whether a record was made of it."""
        self.state = state
        self.norms.see(state)
        if state.step in self.early:
            self.steps["early_steps"].append(state.step)
            positions = (state.cloud - self.minimum) @ self.directions.T  # [P, k]
            self.rows.setdefault("early_positions", []).append(positions.cpu())
        if not self.schedule.measures_at(state.step, self.steps["steps"]):
            return False
        if self.schedule.is_full(self.steps["steps"]):
            self._drop_every_other()
        self.steps["steps"].append(state.step)
        for name, value in self._measure(state).items():
            self.rows.setdefault(name, []).append(value.cpu())
        return True

    def _drop_every_other(self) -> None:
        self.steps["steps"] = self.steps["steps"][1::2]
        for name in RECORDED:
            self.rows[name] = self.rows[name][1::2]

    def _measure(self, state: SGDState) -> TensorsByName:
        source = stream(self.seed, "record", state.step)
        record = measure(
            self.landscape,
            state,
            self.descent,
            self.minimum,
            self.directions,
            source,
            self.norms.indices,
        )
        return {**record, **self.norms.means()}

    def trajectory(self) -> Trajectory:
        """All records so far."""
        arrays = {name: torch.stack(values).double().numpy() for name, values in self.rows.items()}
        for name, steps in self.steps.items():
            arrays[name] = np.asarray(steps, np.int64)
        cloud = self.state.cloud if isinstance(self.state, SGDState) else self.state
        kept = cloud[: SNAPSHOTS if len(self.norms.indices) else 0]
        arrays["snapshots"] = kept.double().cpu().numpy()
        count = count_of(self.landscape)
        law = self.descent.equivalent
        return trajectory_of(arrays, self.reference, law, count, self.replicas)


def measure(
    landscape: Landscape,
    state: SGDState,
    sgd: SGD,
    minimum: Tensor,
    directions: Tensor,
    source: torch.Generator,
    invariant: Tensor | None = None,
) -> TensorsByName:
    """One record [P] or [P, k] by name, all at the point where the last step began, θ = θ_new + ηv
    (to rounding), float64.

    `minimum` θ* [n]; `directions` e_i [k, n]; `invariant`: the indices [s] of the scale-invariant
    parameters, if there are any.
    """
    assert state.gradients is not None
    velocity = sgd.velocity_of(state)
    theta = state.cloud + sgd.equivalent.rate * velocity
    full_batch = whole_pass(landscape, theta, sgd.size, source, directions)
    away = theta - minimum
    noise = state.gradients - full_batch.gradients
    return {
        "losses": full_batch.losses,
        "gradient_norms_squared": full_batch.gradient_norms_squared,
        "noise_trace": full_batch.noise_trace,
        "noise_norms_squared": _squares(noise),
        "batch_norms_squared": _squares(state.gradients),
        "velocity_norms_squared": _squares(velocity),
        "parameter_norms_squared": _squares(theta),
        "virials": (away.double() * full_batch.gradients.double()).sum(1),
        "positions": (away @ directions.T).double(),
        "noise_diagonal": full_batch.noise_diagonal,
        "noise_projections": (noise @ directions.T).double(),
        "invariant_norms_squared": _squares(theta[:, [] if invariant is None else invariant]),
    }


def _squares(rows: Tensor) -> Tensor:
    """|x|² [P] of rows x [P, n], summed in float64."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return norms.square()
