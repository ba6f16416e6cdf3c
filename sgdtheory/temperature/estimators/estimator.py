"""The role of an estimator."""

from typing import Protocol, runtime_checkable

from sgdtheory.protocol import Landscape
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.trajectory import Trajectory


@runtime_checkable
class Estimator(Protocol):
    """A frozen dataclass with `expects`, the theory's value of the number that is named like the
    estimator's file: "temperature", "one" (a ratio), or none."""

    def __call__(self, landscape: Landscape, trajectory: Trajectory) -> dict[str, Measured]:
        """Numbers by name; the one named like the estimator is a temperature in units of learning
        rate over batch size."""
        ...
