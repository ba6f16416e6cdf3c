"""Adam has a temperature of its own: heat by direction is ησᵢ/2√b, not ησᵢ²/2b.

Where noise dominates, √ŝᵢ = σᵢ/√b, and Adam is SGD whose rate in direction i is η√b/σᵢ. On a bowl
with uncorrelated noise each direction is then an Ornstein–Uhlenbeck process with ⟨hᵢx²ᵢ⟩ =
ησᵢ/(2√b), to first order in the rate x = ηhᵢ√b/σᵢ, here at most .016 (Malladi et al. 2022,
2205.10287, for the limit).
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.schedule import Constant

RATE = 2e-3
SIZE = 4
REPLICAS = 4096
CURVATURES = (0.5, 1.0, 2.0, 4.0)
DEVIATIONS = (2.0, 1.0, 0.5, 1.0)
RELATIVE_ERROR = sqrt(2 / REPLICAS)  # of a variance of Gaussian replicas, 2.2 %
STEPS = 3000  # the slowest variance relaxes as e^(−2·.001·t): .25 % of it is missing


@dataclass(frozen=True)
class Bowl(Quadratic):
    """Uncorrelated noise of its own size in each direction."""

    def noise_shape(self) -> Tensor:
        return torch.diag(torch.tensor(DEVIATIONS, dtype=torch.float64))


@pytest.fixture(scope="module")
def heat() -> np.ndarray:
    """⟨hᵢx²ᵢ⟩ of each direction, [4]."""
    bowl = Bowl(curvatures=CURVATURES)
    adam = Adam(STEPS, SIZE, RATE, Constant(), momentum=0.9)
    start = torch.zeros(REPLICAS, len(CURVATURES))
    *_, last = adam.run(bowl, start, 0)
    squares = last.cloud.double().square().mean(0)
    return squares.numpy() * np.array(CURVATURES)


def test_heat_is_that_of_adam(heat: np.ndarray) -> None:
    predicted = RATE * np.array(DEVIATIONS) / (2 * sqrt(SIZE))
    assert np.abs(heat / predicted - 1).max() < 3 * RELATIVE_ERROR


@pytest.mark.parametrize(
    "wrong",
    [
        RATE * np.array(DEVIATIONS) ** 2 / (2 * SIZE),  # SGD's law
        RATE * np.array(DEVIATIONS) / (2 * SIZE),  # b for √b
        RATE * np.full(4, np.mean(DEVIATIONS)) / (2 * sqrt(SIZE)),  # one temperature for all
    ],
)
def test_other_laws_fail(heat: np.ndarray, wrong: np.ndarray) -> None:
    assert np.abs(heat / wrong - 1).max() > 10 * RELATIVE_ERROR
