"""The learning rate that a scale-invariant net feels."""

from dataclasses import dataclass
from typing import Any, ClassVar

from sgdtheory.measured import Measured
from sgdtheory.temperature.estimator import ratio
from sgdtheory.trajectory import Trajectory


@dataclass(frozen=True)
class EffectiveRate:
    """η/((1−μ)⟨|θ|²⟩): the step on the unit sphere per unit of the sphere's own gradient |θ|∇L (Li & Arora 2020, 1910.07454).

    Two runs with equal η/b and unequal |θ|² are at the same T by the loss and move at different paces.

    Reads `parameter_norms_squared` [S, P].
    """

    expects: ClassVar[str] = ""

    def __call__(self, landscape: Any, trajectory: Trajectory) -> dict[str, Measured]:
        rate = trajectory.learning_rate / (1 - trajectory.momentum)
        norms = trajectory.parameter_norms_squared
        return {"effective_rate": ratio(norms * 0 + rate, norms)}
