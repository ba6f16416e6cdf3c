"""The learning rate that matters to a scale-invariant network."""

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Trajectory


@dataclass(frozen=True)
class EffectiveLearningRate:
    """η/((1−μ)⟨|θ|²⟩): the step on the unit sphere per unit of the sphere's own gradient |θ|∇L (Li
    & Arora 2020, 1910.07454).

    Two runs with equal η/b and unequal |θ|² are at the same T by the loss and move at different
    paces. Where weight decay λ balances the noise |θ|⁴ = η⟨|g̃_B|²⟩/(2λ(1−μ)), g̃_B = |θ|g_B
    without weight decay (van Laarhoven 2017, 1706.05350), with momentum as far as successive
    gradients are uncorrelated: `norm_equilibrium` is the left side over the right,
    `effective_rate_predicted` what follows from the right.

    Reads `mean_norms_squared`, `mean_norms_fourth`, `mean_pulls`, over the scale-invariant
    parameters at every step; without such parameters `parameter_norms_squared`, each [S, P].
    """

    expects: ClassVar[str] = ""

    def __call__(self, landscape: Landscape, trajectory: Trajectory) -> dict[str, Measured]:
        rate = trajectory.learning_rate / (1 - trajectory.momentum)
        if not trajectory.invariants:
            norms = trajectory.parameter_norms_squared
            return {"effective_rate": ratio_of_means(norms * 0 + rate, norms)}
        norms = trajectory.mean_norms_squared
        decay = trajectory.weight_decay
        effective = ratio_of_means(norms * 0 + rate, norms)
        if not decay:
            unknown = Measured.nothing(
                "without weight decay the length of the parameters has no equilibrium"
            )
            return {
                "effective_rate": effective,
                "effective_rate_predicted": unknown,
                "norm_equilibrium": unknown,
            }
        balance = ratio_of_means(
            2 * decay * trajectory.mean_norms_fourth, rate * trajectory.mean_pulls
        )
        # (η/((1−μ)|θ|²))² by the law
        squared = ratio_of_means(norms * 0 + 2 * decay * rate, trajectory.mean_pulls)
        predicted = squared
        if squared.value is not None and squared.stderr is not None:
            root = sqrt(squared.value)
            predicted = Measured(root, squared.stderr / (2 * root))
        return {
            "effective_rate": effective,
            "effective_rate_predicted": predicted,
            "norm_equilibrium": balance,
        }
