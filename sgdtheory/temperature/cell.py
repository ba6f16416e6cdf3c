"""One cell of a sweep: a cloud at one learning rate and one batch size."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, gcd

import torch
from torch import Tensor

from sgdtheory.fokker_planck.law import temperature
from sgdtheory.geometry.gradient_noise import MOST_EXAMPLES
from sgdtheory.optim.adam_of_noise import AdamOfNoise
from sgdtheory.optim.sampling import Sampling
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import count_of
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.numbers import in_full
from sgdtheory.temperature.estimators.angular_update import AngularUpdate
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.measurement import measure_trajectory
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.schedule import MeasurementSchedule
from sgdtheory.temperature.stationarity import Stationarity
from sgdtheory.temperature.trajectory import Trajectory, trajectory_of

WINDOW = 5  # records
COLD = 0.01  # of Tr C may lie in modes that are not yet warm when sampling begins
BURNT = 3  # the part of all steps that burn-in may take is one in so many
CORRELATED = 0.37  # of Tr C may lie in modes that remember the last record
CHEAP = 448  # steps between records beyond which their cost does not matter
# in units of (1−μ)/(ηλ): until the start is forgotten; in which |θ|² relaxes
FORGETTING_TIME, NORM_RELAXATION_TIME = 3.0, 0.25


@dataclass(frozen=True)
class SecondMoment:
    """How Adam averages squared gradients."""

    beta2: float
    epsilon: float

    @property
    def memory(self) -> float:
        """Steps after which 5 % of an average is what it began with."""
        return 3 / (1 - self.beta2)


@dataclass(frozen=True)
class Cell:
    """η, b, μ, the sampler, and how long and how precisely the cloud is measured."""

    learning_rate: float
    batch_size: int
    momentum: float
    sampling: Sampling
    replicas: int
    precision: float
    steps: int  # at most
    second_moment: SecondMoment | None = None  # Adam's; None: SGD

    def schedule(self, reference: ReferenceMinimum, count: int | None) -> MeasurementSchedule:
        """Times from measured relaxation: burn in until Tr C is warm but for 1 %, record when the
        last record is forgotten.

        A record costs a pass over all examples, about 2N/(b + 44) steps of a small net and N/b of a
        large one: two records are nine times that apart if 448 steps are enough for it, and at
        least twice. Scale-invariant parameters never stop moving over their sphere: there weight
        decay sets the times. Within an epoch the cloud spreads and shrinks: its records fall on all
        phases of it.
        """
        longest = self.steps / (6 * WINDOW)
        if reference.has_minimum:
            forgotten = reference.relaxation(CORRELATED)
            cheap = min(self._cheap_spacing(count), longest)
        else:
            forgotten = NORM_RELAXATION_TIME / max(reference.weight_decay, 1e-12)
            cheap = 1
        burn_in = min(self.warming(reference) + self._memory, self.steps / BURNT)
        spacing = min(forgotten * self._scale + self._velocity, longest)
        thinning = ceil(max(spacing, cheap, 1))
        if self.sampling == "epoch" and count:
            thinning = _at_all_phases(thinning, count // self.batch_size)
        windows = max(2, int((self.steps - burn_in) // (thinning * WINDOW)))
        return MeasurementSchedule(ceil(burn_in), thinning, WINDOW, windows)

    def warming(self, reference: ReferenceMinimum) -> float:
        """Steps until Tr C is warm but for COLD, which may be more than burn-in has."""
        if reference.has_minimum:
            warm = reference.relaxation(COLD)
        else:
            warm = FORGETTING_TIME / max(reference.weight_decay, 1e-12)
        return warm * self._scale + self._velocity

    def cold_after(self, step: int, reference: ReferenceMinimum) -> float:
        """The part of Tr C whose modes are not yet warm after a step of a cloud that began at θ*,
        once velocities are. Adam's averages, which are corrected for their start, delay none."""
        moved = step - self._velocity
        return reference.cold(max(moved, 0.0) / self._scale)

    @property
    def _scale(self) -> float:
        """Steps in which ηt grows by 1."""
        return (1 - self.momentum) / self.sgd.rate

    @property
    def _velocity(self) -> int:
        """Steps until the velocity has relaxed."""
        return ceil(5 / (1 - self.momentum))

    @property
    def _memory(self) -> float:
        return 0.0 if self.second_moment is None else self.second_moment.memory

    def _cheap_spacing(self, count: int | None) -> float:
        """Steps between records that keep them cheap compared with the steps themselves."""
        record = 2 * min(count, MOST_EXAMPLES) / (self.batch_size + 44) if count else 0  # in steps
        return max(2 * record, min(9 * record, CHEAP), 10)

    @property
    def name(self) -> str:
        return f"{in_full(self.learning_rate)}-{self.batch_size}"

    @property
    def settings(self) -> dict[str, float | int | str]:
        """What tells the cell from others, by name."""
        known = {name: value for name, value in vars(self).items() if name != "second_moment"}
        if self.second_moment is None:
            return known
        return {**known, **vars(self.second_moment)}

    @property
    def identity(self) -> dict[str, object]:
        """What its unit is known by: epochs were recorded at some of their phases only."""
        if self.sampling == "epoch":
            return {"cell": self.settings, "phases": "all"}
        return {"cell": self.settings}

    def descent(self, scale: Tensor | None) -> SGD:
        """The descent, in coordinates φ = sθ of `scale` s [n]; how many steps it takes is in the
        schedule."""
        usual = SGD(
            self.steps,
            self.batch_size,
            self.learning_rate,
            Constant(),
            self.momentum,
            sampling=self.sampling,
        )
        if self.second_moment is None:
            return usual
        assert scale is not None
        return AdamOfNoise(**vars(usual), **vars(self.second_moment), scale=scale)

    @property
    def sgd(self) -> SGD:
        """The SGD whose temperature the cloud has."""
        return self.descent(torch.ones(1)).equivalent

    def measure(
        self,
        folder: UnitFolder,
        landscape: Landscape,
        reference: ReferenceMinimum,
        seed: int,
        dtype: torch.dtype,
    ) -> Trajectory:
        """Let the cloud spread, come to rest, and be measured."""
        return measure_trajectory(
            folder,
            landscape,
            reference,
            self.descent(reference.scale),
            self.schedule(reference, count_of(landscape)),
            self.replicas,
            seed,
            dtype,
            self.is_converged,
        )

    def trajectory_from(
        self,
        tensors: Mapping[str, torch.Tensor],
        landscape: Landscape,
        reference: ReferenceMinimum,
    ) -> Trajectory:
        """The trajectory that was measured earlier, from the tensors of its file, [S, P] and so on
        as in `Trajectory`."""
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return trajectory_of(arrays, reference, self.sgd, count_of(landscape), self.replicas)

    def predicted(self, count: int | None) -> float:
        """T by theory: η/(2b(1−μ)), × (N−b)/(N−1) without replacement inside a batch; of Adam
        η/2√b."""
        law = temperature(self.sgd)
        if self.sampling != "without_replacement" or count is None or count < 2:
            return law
        return law * (count - self.batch_size) / (count - 1)

    def is_converged(self, trajectory: Trajectory) -> bool:
        """Whether the cloud is stationary and its temperature known to the precision; or whether no
        replica is left."""
        if trajectory.finite().replicas < 2:
            return True
        verdict = Stationarity(WINDOW)(trajectory)
        if verdict.first is None:
            return False
        sampled = trajectory.finite().part(verdict.first)
        if sampled.invariants:
            number = AngularUpdate()(None, sampled)["angular_update"]
        else:
            number = ExcessLoss()(None, sampled)["excess_loss"]
        if number.value is None or number.stderr is None:
            return False
        return number.stderr < self.precision * abs(number.value)


def _at_all_phases(thinning: int, batches: int) -> int:
    """The least spacing from `thinning` on that shares no factor with the batches of an epoch, so
    that records come to each of its steps in turn."""
    while gcd(thinning, batches) > 1:
        thinning += 1
    return thinning
