"""Whether the noise has heavy tails: the Hill index, and that of as many Gaussian values."""

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.bootstrap import bootstrap
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Array, Trajectory

LEAST = 400  # values below which the tail has no points


@dataclass(frozen=True)
class Hill:
    """α = [mean over the K largest |x| of log(|x|/|x|_(K+1))]⁻¹, K = √n (Hill 1975), x the noise of
    mini-batches along Hessian directions, each in units of its own standard deviation.

    A finite α < 2 would mean noise without a variance (Simsekli et al. 2019, 1901.06053). But the
    estimator gives a finite number for any sample: `hill_gaussian` is what it gives for as many
    Gaussian values, mean and spread over 50 draws. Only an α below that speaks of heavy tails. The
    width of C(θ) over the cloud mixes scales and lowers α a little by itself.

    Reads `noise_projections` [S, P, k].

    """

    expects: ClassVar[str] = ""

    def __call__(self, landscape: Landscape, trajectory: Trajectory) -> dict[str, Measured]:
        noise = trajectory.noise_projections
        if noise.size < LEAST or trajectory.replicas < 2:
            too_few = Measured.nothing(f"{noise.size} values of the noise are too few for a tail")
            return {"hill": too_few, "hill_gaussian": too_few}
        scale = noise.std((0, 1))
        values = np.abs(noise[:, :, scale > 0] / scale[scale > 0])  # [S, P, k]
        measured = bootstrap(lambda rows: index(values[:, rows].ravel()), trajectory.replicas)
        generator = np.random.Generator(np.random.PCG64(0))
        null = [index(np.abs(generator.standard_normal(values.size))) for _ in range(50)]
        gaussian = Measured(float(np.mean(null)), float(np.std(null, ddof=1)))
        return {"hill": measured, "hill_gaussian": gaussian}


def index(values: Array) -> float:
    """Hill's α of positive values [n]."""
    tail = int(sqrt(values.size))
    first = values.size - tail - 1
    top = np.sort(np.partition(values, first)[first:])
    return float(1 / np.log(top[1:] / top[0]).mean())
