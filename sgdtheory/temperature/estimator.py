"""What an estimator is, and the ratio of means that most of them are."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from sgdtheory.measured import Measured, bootstrap
from sgdtheory.trajectory import Array, Trajectory


@runtime_checkable
class Estimator(Protocol):
    """A frozen dataclass with `expects`, what theory says of the number called like the estimator's file: "temperature",
    "one" (a ratio), or nothing."""

    def __call__(self, landscape: Any, trajectory: Trajectory) -> dict[str, Measured]:
        """Numbers by name; those called like the estimator are temperatures in units of learning rate over batch size."""
        ...


def ratio(above: Array, below: Array, unit: str = "") -> Measured:
    """⟨above⟩/⟨below⟩ of two tables [S, P], its standard error a bootstrap over replicas: records of one are correlated."""
    if above.size == 0 or above.shape[1] < 2:
        return Measured.nothing("fewer than two replicas have stayed finite" if above.size else "nothing was recorded")
    top, bottom = above.mean(0), below.mean(0)  # [P]
    if not (np.isfinite(top).all() and bottom.mean() > 0):
        return Measured.nothing("not finite")
    found = bootstrap(lambda rows: float(top[rows].mean() / bottom[rows].mean()), len(top))
    return found._replace(unit=unit)
