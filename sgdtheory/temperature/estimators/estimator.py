"""What an estimator is, and the ratio of means that most of them are."""

from typing import Protocol, runtime_checkable

import numpy as np
from scipy.special import ndtri, stdtrit

from sgdtheory.landscape import Landscape
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Array, Trajectory

RESAMPLES = 200  # of the bootstrap: its error of a standard error is 1/√(2·200) = 5 %


@runtime_checkable
class Estimator(Protocol):
    """A frozen dataclass with `expects`, what theory says of the number called like the estimator's
    file: "temperature", "one" (a ratio), or nothing."""

    def __call__(self, landscape: Landscape, trajectory: Trajectory) -> dict[str, Measured]:
        """Numbers by name; those called like the estimator are temperatures in units of learning
        rate over batch size."""
        ...


def ratio(above: Array, below: Array, unit: str = "") -> Measured:
    """⟨above⟩/⟨below⟩ of two tables [S, P], its standard error a bootstrap over replicas: records
    of one are correlated.

    The error is × `few(P)`, so that ± 1.96 of it is a 95 % interval also where the replicas are
    few.
    """
    if above.size == 0 or above.shape[1] < 2:
        return Measured.nothing(
            "fewer than two replicas have stayed finite" if above.size else "nothing was recorded"
        )
    top, bottom = above.mean(0), below.mean(0)  # [P]
    if not (np.isfinite(top).all() and bottom.mean() > 0):
        return Measured.nothing("not finite")
    rows = np.random.Generator(np.random.PCG64(0)).integers(0, len(top), (RESAMPLES, len(top)))
    draws = top[rows].mean(1) / bottom[rows].mean(1)
    return Measured(
        float(top.mean() / bottom.mean()), few(len(top)) * float(draws.std(ddof=1)), unit
    )


def few(count: int) -> float:
    """√(P/(P−1))·t/z: a bootstrap of P values has the biased variance, and Student's quantile
    replaces the normal one."""
    return float(np.sqrt(count / (count - 1)) * stdtrit(count - 1, 0.975) / ndtri(0.975))
