"""The fluctuation–dissipation ratio: one where the cloud is stationary."""

from dataclasses import dataclass
from typing import ClassVar

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Trajectory


@dataclass(frozen=True)
class FluctuationDissipation:
    """R = ⟨(θ−θ*)·∇L⟩ / (η(1+μ)/2·⟨|v|²⟩) = 1 at stationarity, at any η (Yaida 2018, 1810.00004,
    Eqs. 5 and 12).

    With ∇L of the full batch: with the mini-batch's own gradient it is a pathwise identity that
    proves nothing. With |v|²: on |g_B|² the factor is 1/(1−μ), and only for ηh ≪ (1−μ)². Epoch
    sampling breaks it by design: its noise is not white. A pure number, no temperature.

    Reads `virials`, `velocity_norms_squared`, each [S, P].

    """

    expects: ClassVar[str] = "one"

    def __call__(self, landscape: Landscape | None, trajectory: Trajectory) -> dict[str, Measured]:
        eta = trajectory.learning_rate
        mu = trajectory.momentum
        work = eta * (1 + mu) / 2 * trajectory.velocity_norms_squared  # [S, P]
        return {"fluctuation_dissipation": ratio_of_means(trajectory.virials, work)}
