"""Temperature from the virial theorem: an identity at stationarity, which checks the
bookkeeping."""

from dataclasses import dataclass
from typing import ClassVar

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Trajectory


@dataclass(frozen=True)
class Virial:
    """T = (⟨(θ−θ*)·∇L⟩ − η/(2(1+μ))·⟨|∇L|²⟩) / ⟨Tr C⟩.

    ⟨d|θ−θ*|²/dt⟩ = 0 at stationarity, on any landscape (Yaida 2018, 1810.00004, Eq. 5 for μ = 0):
    agreement with η/2b says that the cloud is stationary, the noise booked right, the sampling
    sound; it says nothing about the landscape.

    Reads `virials`, `gradient_norms_squared`, `noise_trace`, each [S, P].

    """

    expects: ClassVar[str] = "temperature"

    def __call__(self, landscape: Landscape, trajectory: Trajectory) -> dict[str, Measured]:
        eta = trajectory.learning_rate
        mu = trajectory.momentum
        # [S, P]
        work = trajectory.virials - eta / (2 * (1 + mu)) * trajectory.gradient_norms_squared
        return {"virial": ratio_of_means(work, trajectory.noise_trace)}
