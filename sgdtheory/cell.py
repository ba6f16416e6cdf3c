"""One cell of a sweep: a cloud at one learning rate and one batch size, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch

from sgdtheory.ground import Ground
from sgdtheory.measured import Measured
from sgdtheory.noise import MOST_EXAMPLES
from sgdtheory.run import UnitFolder
from sgdtheory.sampling import Sampling
from sgdtheory.schedule import Constant
from sgdtheory.sgd import SGD
from sgdtheory.temperature.exact import heights
from sgdtheory.temperature.excess_loss import ExcessLoss
from sgdtheory.temperature.fluctuation_dissipation import FluctuationDissipation
from sgdtheory.temperature.stationarity import Stationarity
from sgdtheory.trajectory import Recipe, Trajectory, record, trajectory_of

WINDOW = 5  # records
COLD = 0.01  # of Tr C may lie in modes that are not yet warm when sampling begins
APART = 0.37  # of Tr C may lie in modes that remember the last record
RARE = 320  # steps: looks need be no further apart to be cheap
HARMONIC = 1.5  # ⟨Tr C⟩/Tr C(θ*), either way, up to which a cell counts as harmonic


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

    def recipe(self, ground: Ground, count: int | None) -> Recipe:
        """Times from measured relaxation: burn in until Tr C is warm but for 1 %, look when the last look is forgotten.

        A look costs a pass over all examples, about 2N/(b + 44) steps of a small net and N/b of a large one: two looks are
        nine times that apart if 320 steps are enough for it, and at least twice.
        """
        scale = (1 - self.momentum) / self.learning_rate
        settle = ceil(5 / (1 - self.momentum))  # for the velocity
        burn = min(ground.relaxation(COLD) * scale + settle, self.steps / 3)
        apart = min(ground.relaxation(APART) * scale + settle, self.steps / (6 * WINDOW))
        look = 2 * min(count, MOST_EXAMPLES) / (self.batch_size + 44) if count else 0  # in steps
        cheap = min(max(2 * look, min(9 * look, RARE), 10), self.steps / (6 * WINDOW))
        every = ceil(max(apart, cheap, 1))
        windows = max(2, int((self.steps - burn) // (every * WINDOW)))
        return Recipe(ceil(burn), every, WINDOW, windows)

    @property
    def name(self) -> str:
        return f"{self.learning_rate:g}-{self.batch_size}"

    @property
    def sgd(self) -> SGD:
        """The loop; how many steps it takes the recipe says."""
        return SGD(self.steps, self.batch_size, self.learning_rate, Constant(), self.momentum, sampling=self.sampling)

    def record(self, folder: UnitFolder, landscape: Any, ground: Ground, seed: int, dtype: torch.dtype) -> Trajectory:
        """Let the cloud spread, come to rest, and be looked at."""
        recipe = self.recipe(ground, getattr(landscape, "count", None))
        return record(folder, landscape, ground, self.sgd, recipe, self.replicas, seed, dtype, self.enough)

    def recorded(self, tensors: Mapping[str, torch.Tensor], landscape: Any, ground: Ground) -> Trajectory:
        """What was recorded earlier, from its file."""
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return trajectory_of(arrays, ground, self.sgd, getattr(landscape, "count", None), self.replicas)

    def predicted(self, count: int | None) -> float:
        """η/(2b(1−μ)), × (N−b)/(N−1) without replacement inside a batch."""
        law = self.learning_rate / (2 * self.batch_size * (1 - self.momentum))
        finite = self.sampling == "without_replacement" and count is not None and count > 1
        return law * (count - self.batch_size) / (count - 1) if finite and count else law

    def enough(self, trajectory: Trajectory) -> bool:
        """Whether the cloud is stationary and its temperature known to the precision; or whether no replica is left."""
        if trajectory.finite().replicas < 2:
            return True
        verdict = Stationarity(WINDOW)(trajectory)
        if verdict.first is None:
            return False
        found = ExcessLoss()(None, trajectory.finite().part(verdict.first))["excess_loss"]
        return found.value is not None and found.stderr is not None and found.stderr < self.precision * abs(found.value)


def describe_cell(
    cell: Cell, landscape: Any, ground: Ground, trajectory: Trajectory, estimators: Mapping[str, Any]
) -> dict[str, Any]:
    """One row of results.json: every estimator, null with the reason where the cloud is not stationary."""
    verdict = Stationarity(WINDOW)(trajectory)
    alive = trajectory.finite()
    sampled = alive.part(verdict.first or 0)
    ratio = FluctuationDissipation()(landscape, sampled)["fluctuation_dissipation"]
    stationary = verdict.first is not None
    asked = estimators.values() if stationary else []
    found = {name: number for each in asked for name, number in each(landscape, sampled).items()}
    temperature = {name: found.get(name, Measured.nothing(verdict.why)) for name in {**dict.fromkeys(estimators), **found}}
    trace = float(sampled.noise_trace.mean()) if sampled.losses.size else None
    swollen = None if trace is None or not ground.noise_trace else trace / ground.noise_trace
    harmonic = swollen is not None and 1 / HARMONIC < swollen < HARMONIC
    why = verdict.why
    if stationary and not harmonic:
        why = f"leaves the harmonic range: ⟨Tr C⟩ is {swollen:.2f} × Tr C(θ*)"
    count = getattr(landscape, "count", None)
    law = cell.predicted(count)
    epoch = ground.epoch_factor(cell.learning_rate / (1 - cell.momentum), count / cell.batch_size) if count else None
    return {
        "learning_rate": cell.learning_rate, "batch_size": cell.batch_size, "momentum": cell.momentum,
        "sampling": cell.sampling, "replicas": cell.replicas, "predicted": law,
        **({"predicted_epoch": law * epoch} if cell.sampling == "epoch" and epoch is not None else {}),
        "temperature": {name: as_json(number) for name, number in temperature.items()},
        **(heights(landscape, ground, sampled) if stationary else {}),
        "fluctuation_dissipation": as_json(ratio), "stationary": stationary, "harmonic": bool(stationary and harmonic),
        "why": why, "noise_trace": trace, "noise_trace_at_minimum": ground.noise_trace,
        "stability": cell.learning_rate * ground.top_curvature / (2 * (1 + cell.momentum)),
        "steps": int(trajectory.steps[-1]) if len(trajectory.steps) else 0, "records": len(sampled.steps),
        "lost": cell.replicas - alive.replicas,
    }  # fmt: skip


def as_json(number: Measured) -> dict[str, Any]:
    """{"value": …, "stderr": …}, and `why` where there is no value."""
    found: dict[str, Any] = {"value": number.value, "stderr": number.stderr}
    return found if number.value is not None else {**found, "why": number.why}
