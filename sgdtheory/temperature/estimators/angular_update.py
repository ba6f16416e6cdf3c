"""How far SGD turns the parameters in a step, the pace of a network that normalisation makes
scale-invariant."""

from dataclasses import dataclass
from typing import ClassVar

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Trajectory


@dataclass(frozen=True)
class AngularUpdate:
    """⟨|Δθ|²⟩/⟨|θ|²⟩ = η²⟨|v|²⟩/⟨|θ|²⟩, the squared angle of a step.

    Where the loss does not depend on |θ| and weight decay λ balances the noise it is 2ηλ/(1+μ),
    whatever b is (Wan et al. 2021, 2006.08419, at μ = 0 √(2ηλ) per step): η/b alone is then not the
    temperature. So in a net with batch norm it is taken over the scale-invariant parameters, at
    every step, together with `angular_update_predicted`; elsewhere over all parameters, where it
    is just a number.

    Reads `mean_velocities_squared`, `mean_norms_squared`; without scale-invariant parameters
    `velocity_norms_squared`, `parameter_norms_squared`, each [S, P].
    """

    expects: ClassVar[str] = ""

    def __call__(self, landscape: Landscape | None, trajectory: Trajectory) -> dict[str, Measured]:
        eta = trajectory.learning_rate
        mu = trajectory.momentum
        if not trajectory.invariants:
            return {
                "angular_update": ratio_of_means(
                    eta**2 * trajectory.velocity_norms_squared, trajectory.parameter_norms_squared
                )
            }
        update = ratio_of_means(
            eta**2 * trajectory.mean_velocities_squared, trajectory.mean_norms_squared
        )
        law = 2 * eta * trajectory.weight_decay / (1 + mu)
        predicted = Measured(law)
        if not law:
            predicted = Measured.nothing("without weight decay nothing balances the noise")
        return {"angular_update": update, "angular_update_predicted": predicted}
