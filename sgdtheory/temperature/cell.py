"""One cell of a sweep: a cloud at one learning rate and one batch size, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, hypot
from typing import Any

import torch

from sgdtheory.geometry.gradient_noise import MOST_EXAMPLES
from sgdtheory.landscape import Landscape
from sgdtheory.optim.sampling import Sampling
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.roles import count_of
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.measured import Measured, Row, in_full
from sgdtheory.temperature.estimators.angular_update import AngularUpdate
from sgdtheory.temperature.estimators.exact import heights
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.estimators.fluctuation_dissipation import FluctuationDissipation
from sgdtheory.temperature.quench import QuenchResult
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.stationarity import Stationarity
from sgdtheory.temperature.trajectory import Recipe, Trajectory, record, trajectory_of

WINDOW = 5  # records
COLD = 0.01  # of Tr C may lie in modes that are not yet warm when sampling begins
APART = 0.37  # of Tr C may lie in modes that remember the last record
RARE = 448  # steps: looks need be no further apart to be cheap
HARMONIC = 1.5  # ⟨Tr C⟩/Tr C(θ*), either way, up to which a cell counts as harmonic
STEEP = 0.5  # of the stable limit ηh_max = 2(1+μ): beyond, what is not quadratic is amplified
# in units of (1−μ)/(ηλ): to forget where it began; in which |θ|² relaxes
FORGETTING_TIME, NORM_RELAXATION_TIME = (
    3.0,
    0.25,
)
# relative change of T when the quench takes half its time, up to which there is a bottom to speak
# of
BOTTOMLESS = 0.15


@dataclass(frozen=True)
class Cell:
    """η, b, μ, the sampler, and how long and how precisely it is looked at."""

    learning_rate: float
    batch_size: int
    momentum: float
    sampling: Sampling
    replicas: int
    precision: float
    steps: int  # at most

    def recipe(self, ground: ReferenceMinimum, count: int | None) -> Recipe:
        """Times from measured relaxation: burn in until Tr C is warm but for 1 %, look when the
        last look is forgotten.

        A look costs a pass over all examples, about 2N/(b + 44) steps of a small net and N/b of a
        large one: two looks are nine times that apart if 448 steps are enough for it, and at least
        twice. Scale-invariant parameters wander over their sphere for ever: there it is weight
        decay that sets the pace.
        """
        scale = (1 - self.momentum) / self.learning_rate
        settle = ceil(5 / (1 - self.momentum))  # for the velocity
        warm, apart = ground.relaxation(COLD), ground.relaxation(APART)
        look = 2 * min(count, MOST_EXAMPLES) / (self.batch_size + 44) if count else 0  # in steps
        cheap = min(max(2 * look, min(9 * look, RARE), 10), self.steps / (6 * WINDOW))
        if not ground.has_minimum:
            decay = max(ground.weight_decay, 1e-12)
            warm, apart, cheap = FORGETTING_TIME / decay, NORM_RELAXATION_TIME / decay, 1
        burn = min(warm * scale + settle, self.steps / 3)
        apart = min(apart * scale + settle, self.steps / (6 * WINDOW))
        every = ceil(max(apart, cheap, 1))
        windows = max(2, int((self.steps - burn) // (every * WINDOW)))
        return Recipe(ceil(burn), every, WINDOW, windows)

    @property
    def name(self) -> str:
        return f"{in_full(self.learning_rate)}-{self.batch_size}"

    @property
    def sgd(self) -> SGD:
        """The loop; how many steps it takes the recipe says."""
        return SGD(
            self.steps,
            self.batch_size,
            self.learning_rate,
            Constant(),
            self.momentum,
            sampling=self.sampling,
        )

    def record(
        self,
        folder: UnitFolder,
        landscape: Landscape,
        ground: ReferenceMinimum,
        seed: int,
        dtype: torch.dtype,
    ) -> Trajectory:
        """Let the cloud spread, come to rest, and be looked at."""
        recipe = self.recipe(ground, count_of(landscape))
        return record(
            folder, landscape, ground, self.sgd, recipe, self.replicas, seed, dtype, self.enough
        )

    def recorded(
        self, tensors: Mapping[str, torch.Tensor], landscape: Landscape, ground: ReferenceMinimum
    ) -> Trajectory:
        """What was recorded earlier, from its file."""
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return trajectory_of(arrays, ground, self.sgd, count_of(landscape), self.replicas)

    def predicted(self, count: int | None) -> float:
        """η/(2b(1−μ)), × (N−b)/(N−1) without replacement inside a batch."""
        law = self.learning_rate / (2 * self.batch_size * (1 - self.momentum))
        finite = self.sampling == "without_replacement" and count is not None and count > 1
        return law * (count - self.batch_size) / (count - 1) if finite and count else law

    def enough(self, trajectory: Trajectory) -> bool:
        """Whether the cloud is stationary and its temperature known to the precision; or whether no
        replica is left."""
        if trajectory.finite().replicas < 2:
            return True
        verdict = Stationarity(WINDOW)(trajectory)
        if verdict.first is None:
            return False
        sampled = trajectory.finite().part(verdict.first)
        found = AngularUpdate()(None, sampled)["angular_update"]
        if not sampled.invariants:
            found = ExcessLoss()(None, sampled)["excess_loss"]
        return (
            found.value is not None
            and found.stderr is not None
            and found.stderr < self.precision * abs(found.value)
        )


def describe_cell(
    cell: Cell,
    landscape: Landscape,
    ground: ReferenceMinimum,
    trajectory: Trajectory,
    estimators: Mapping[str, Any],
    bottom: QuenchResult | None = None,
) -> Row:
    """One row of results.json: every estimator, null with the reason where the cloud is not
    stationary.

    `bottom`: where a quench of the cell's own points has ended, for networks without a minimum.

    """
    verdict = Stationarity(WINDOW)(trajectory)
    alive = trajectory.finite()
    if bottom is not None:
        alive = replace(
            alive, loss_at_minimum=bottom.loss, noise_trace_at_minimum=bottom.noise_trace
        )
    sampled = alive.part(verdict.first or 0)
    ratio = FluctuationDissipation()(landscape, sampled)["fluctuation_dissipation"]
    stationary = verdict.first is not None
    asked = estimators.values() if stationary else []
    found = {name: number for each in asked for name, number in each(landscape, sampled).items()}
    temperature = {
        name: found.get(name, Measured.nothing(verdict.why))
        for name in {**dict.fromkeys(estimators), **found}
    }
    settled = _settled(temperature.get("excess_loss"), sampled, bottom)
    if settled is not None:
        temperature["excess_loss"] = settled
    trace = float(sampled.noise_trace.mean()) if sampled.losses.size else None
    steepest = ground.top_curvature if bottom is None else bottom.top_curvature
    stability = cell.learning_rate * steepest / (2 * (1 + cell.momentum))
    wild = _wildness(trace, sampled.noise_trace_at_minimum, stability)
    why = verdict.why or "; ".join(
        each for each in (wild, settled.why if settled is not None else "") if each
    )
    count = count_of(landscape)
    law = cell.predicted(count)
    epoch = (
        ground.epoch_factor(cell.learning_rate / (1 - cell.momentum), count / cell.batch_size)
        if count
        else None
    )
    return {
        "learning_rate": cell.learning_rate,
        "batch_size": cell.batch_size,
        "momentum": cell.momentum,
        "sampling": cell.sampling,
        "replicas": cell.replicas,
        "predicted": law,
        **(
            {"predicted_epoch": law * epoch}
            if cell.sampling == "epoch" and epoch is not None
            else {}
        ),
        "temperature": {name: as_json(number) for name, number in temperature.items()},
        **(heights(landscape, ground, sampled) if stationary and bottom is None else {}),
        "fluctuation_dissipation": as_json(ratio),
        "stationary": stationary,
        "harmonic": stationary and not wild,
        "why": why,
        "noise_trace": trace,
        "noise_trace_at_minimum": sampled.noise_trace_at_minimum,
        "stability": stability,
        **(
            {}
            if bottom is None
            else {"quench_time": bottom.time, "quench_sensitivity": _sensitivity(sampled, bottom)}
        ),
        "steps": int(trajectory.steps[-1]) if len(trajectory.steps) else 0,
        "records": len(sampled.steps),
        "lost": cell.replicas - alive.replicas,
    }


def _wildness(trace: float | None, at_minimum: float, stability: float) -> str:
    """Why a cell is out of the harmonic range; empty where it is in it."""
    if stability > STEEP:
        return f"leaves the harmonic range: ηh_max is {stability:.2f} of the stable limit 2(1+μ)"
    if trace is None or not at_minimum:
        return "leaves the harmonic range: Tr C is not known"
    swollen = trace / at_minimum
    return (
        ""
        if 1 / HARMONIC < swollen < HARMONIC
        else f"leaves the harmonic range: ⟨Tr C⟩ is {swollen:.2f} × Tr C(θ*)"
    )


def _settled(
    found: Measured | None, sampled: Trajectory, bottom: QuenchResult | None
) -> Measured | None:
    """T from the excess loss with the error of the quench in it; no number where a longer quench
    would give another."""
    if bottom is None or found is None or found.value is None or found.stderr is None:
        return None
    half = _sensitivity(sampled, bottom)
    if half is None or abs(half) > BOTTOMLESS:
        before = "not positive" if half is None else f"{found.value * (1 + half):.3g}"
        return Measured.nothing(
            f"no bottom: T is {found.value:.3g} after the quench and {before} after half of it"
        )
    trace = float(sampled.noise_trace.mean())
    return Measured(found.value, hypot(found.stderr, 2 * bottom.loss_stderr / trace), found.unit)


def _sensitivity(sampled: Trajectory, bottom: QuenchResult) -> float | None:
    """T with half the quench over T with all of it, less one."""
    whole, half = (
        ExcessLoss()(None, replace(sampled, loss_at_minimum=loss))["excess_loss"].value
        for loss in (bottom.loss, bottom.loss_half)
    )
    return None if not whole or half is None or whole <= 0 else half / whole - 1


def as_json(number: Measured) -> Row:
    """{"value": …, "stderr": …}, and `why` where there is no value."""
    found: Row = {"value": number.value, "stderr": number.stderr}
    return found if number.value is not None else {**found, "why": number.why}
