"""Temperature of SGD's noise from the mean excess loss of the cloud above its minimum."""

from dataclasses import dataclass
from typing import ClassVar

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.rounding import resolution
from sgdtheory.temperature.trajectory import Trajectory

COARSE = 0.01  # of the mean excess: more than this may be rounding of the losses


@dataclass(frozen=True)
class ExcessLoss:
    """T = (2⟨L − L*⟩ − η/(2(1+μ))·⟨|∇L|²⟩) / ⟨Tr C⟩.

    The mean excess loss of a thermal cloud is ½T·Tr C (Chaudhari & Soatto 2018, 1710.11029, at
    stationarity); the second term removes what a finite learning rate adds. Exact on every
    quadratic at any η and μ, whether or not Hessian and noise commute; elsewhere what remains is
    anharmonicity, measured by ⟨Tr C⟩ / Tr C(θ*). It follows from stationarity alone, so one T for
    the whole cloud does not mean that every direction has it: see `equipartition`.

    Scale-invariant parameters θ_s, which a normalisation follows, count without their weight decay,
    ½λ|θ_s|² in L and λθ_s in ∇L: the loss does not feel their length, so that it holds no heat, and
    both terms are exactly orthogonal to the rest.

    Reads `losses`, `gradient_norms_squared`, `noise_trace`, `invariant_norms_squared`, each [S, P].
    Gives no number when no L* is known.
    """

    expects: ClassVar[str] = "temperature"

    def __call__(self, landscape: Landscape | None, trajectory: Trajectory) -> dict[str, Measured]:
        if trajectory.loss_at_minimum is None:
            return {"excess_loss": Measured.nothing("no minimum is known")}
        eta = trajectory.learning_rate
        mu = trajectory.momentum
        decay = trajectory.weight_decay
        lengths = trajectory.invariant_norms_squared
        excess = trajectory.losses - 0.5 * decay * lengths - trajectory.loss_at_minimum  # [S, P]
        gradients = trajectory.gradient_norms_squared - decay**2 * lengths  # [S, P]
        rounded = resolution(trajectory.losses) * abs(trajectory.loss_at_minimum)
        if excess.size and rounded > COARSE * abs(float(excess.mean())):
            why = (
                "the excess is below the rounding of the loss; take a constant off, or use float64"
            )
            return {"excess_loss": Measured.nothing(why)}
        harmonic = 2 * excess - eta / (2 * (1 + mu)) * gradients  # [S, P]
        return {"excess_loss": ratio_of_means(harmonic, trajectory.noise_trace)}
