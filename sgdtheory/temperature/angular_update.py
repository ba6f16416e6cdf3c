"""How far SGD turns the parameters in a step: what sets the pace of a net that normalisation makes scale-invariant."""

from dataclasses import dataclass
from typing import Any, ClassVar

from sgdtheory.measured import Measured
from sgdtheory.temperature.estimator import ratio
from sgdtheory.trajectory import Trajectory


@dataclass(frozen=True)
class AngularUpdate:
    """⟨|Δθ|²⟩/⟨|θ|²⟩ = η²⟨|v|²⟩/⟨|θ|²⟩, the squared angle of a step.

    Where the loss does not depend on |θ| and weight decay λ balances the noise it is 2ηλ/(1+μ), whatever b is (Wan et al.
    2021, 2006.08419, at μ = 0 √(2ηλ) per step): η/b alone is then not the temperature. Elsewhere it is just a number.

    Reads `velocity_norms_squared`, `parameter_norms_squared`, each [S, P].
    """

    expects: ClassVar[str] = ""

    def __call__(self, landscape: Any, trajectory: Trajectory) -> dict[str, Measured]:
        steps = trajectory.learning_rate**2 * trajectory.velocity_norms_squared  # |Δθ|² [S, P]
        return {"angular_update": ratio(steps, trajectory.parameter_norms_squared)}
