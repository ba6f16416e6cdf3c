"""The temperature of each Hessian direction, to be compared with the cloud's."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.bootstrap import bootstrap
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Array, Trajectory

MASK = 1e-6  # of the largest C_ii: directions with less noise have no temperature to speak of


@dataclass(frozen=True)
class Equipartition:
    """T_i = h_iΣ_ii(1 − ηh_i/(2(1+μ))) / C_ii over the recorded Hessian directions: the median, and
    both quartiles.

    ½h_iΣ_ii is the energy of a mode; the bracket removes what a finite learning rate adds to it
    (5–40 % without). On a quadratic every T_i is η/2b(1−μ), commuting or not: the diagonal of the
    Lyapunov equation in H's basis. Elsewhere it shows what one T for the whole cloud hides: modes
    that are still cold, and directions in which the landscape is curved otherwise than at θ*. Σ_ii
    is the second moment about θ*, so that no mean has to be estimated.

    Reads `positions`, `noise_diagonal` [S, P, k], `curvatures` [k]; masks C_ii ≤ 1e-6 of the
    largest, and h_i ≤ 0.
    """

    expects: ClassVar[str] = "temperature"

    def __call__(self, landscape: Landscape, trajectory: Trajectory) -> dict[str, Measured]:
        names = {"equipartition": 50, "equipartition_low": 25, "equipartition_high": 75}
        if trajectory.invariants:
            why = "there is no minimum whose directions could be warm"
            return dict.fromkeys(names, Measured.nothing(why))
        if trajectory.positions.size == 0 or trajectory.replicas < 2:
            return dict.fromkeys(names, Measured.nothing("nothing was recorded"))
        if not by_direction(trajectory).size:
            why = "no recorded direction is both curved and stirred"
            return dict.fromkeys(names, Measured.nothing(why))
        second = (trajectory.positions**2).mean(0)  # [P, k]
        noise = trajectory.noise_diagonal.mean(0)  # [P, k]

        def percentile(rows: Array, percent: int) -> float:
            warm = _by_direction(second[rows].mean(0), noise[rows].mean(0), trajectory)
            return float(np.percentile(warm, percent))

        return {
            name: bootstrap(partial(percentile, percent=percent), trajectory.replicas)
            for name, percent in names.items()
        }


def by_direction(trajectory: Trajectory) -> Array:
    """T_i [k' ≤ k] of the directions that have a temperature."""
    second = (trajectory.positions**2).mean((0, 1))  # [k]
    noise = trajectory.noise_diagonal.mean((0, 1))  # [k]
    return _by_direction(second, noise, trajectory)


def _by_direction(second: Array, noise: Array, trajectory: Trajectory) -> Array:
    """T_i [k' ≤ k] from Σ_ii [k] and C_ii [k]."""
    h = trajectory.curvatures
    eta = trajectory.learning_rate
    mu = trajectory.momentum
    noisy = (noise > MASK * noise.max()) & (h > 0)
    energy = h * second * (1 - eta * h / (2 * (1 + mu)))
    temperatures: Array = energy[noisy] / noise[noisy]
    return temperatures
