"""The grid of a sweep: which learning rates, which batch sizes."""

from dataclasses import dataclass
from typing import Literal

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.statistics.numbers import in_full

STEPS = (0.04, 0.08, 0.16, 0.32)  # what `auto` means, in units of 2(1−μ)/h_max


@dataclass(frozen=True)
class Grid:
    """Every learning rate η with every batch size b.

    `learning_rate` auto: η = .04, .08, .16, .32 × 2(1−μ)/h_max, h_max measured at the minimum and
    the smallest rounded to two digits: far below the stable limit 2(1+μ)/h_max, and as hot with
    momentum as without.
    """

    learning_rate: tuple[PositiveFloat, ...] | Literal["auto"]
    batch_size: tuple[PositiveInt, ...]

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size"):
            values = getattr(self, name)
            if not values:
                raise UserError(f"sweep.{name}=[] is an empty grid: give at least one value")
            if values != "auto" and len(set(values)) < len(values):
                raise UserError(f"sweep.{name}={list(values)} names a value twice")

    def learning_rates(
        self, top_curvature: float, momentum: float, adapts: bool = False, gain: float = 1.0
    ) -> tuple[float, ...]:
        """The rates as numbers; refuses those that no quadratic of this curvature would survive.

        `adapts`: nothing is refused where the curvature depends on the length of scale-invariant
        parameters: an instability lengthens them until it is none. `gain`: by which a rate is
        larger for SGD in the coordinates of the curvature, of Adam √b(1−β₁).
        """
        if self.learning_rate == "auto":
            smallest = STEPS[0] * 2 * (1 - momentum) / gain / max(top_curvature, 1e-12)
            base = float(f"{smallest:.1e}")
            return tuple(base * step / STEPS[0] for step in STEPS)
        if not adapts:
            self.check(top_curvature, momentum, gain)
        return self.learning_rate

    @property
    def rates_in_words(self) -> list[str]:
        """One word a rate; `auto` where it is not known before the minimum is."""
        if self.learning_rate == "auto":
            return ["auto"] * len(STEPS)
        return [in_full(rate) for rate in self.learning_rate]

    def check(self, top_curvature: float, momentum: float, gain: float = 1.0) -> None:
        """ηh < 2(1+μ), or SGD has no stationary state."""
        limit = 2 * (1 + momentum) / gain / max(top_curvature, 1e-12)
        if self.learning_rate != "auto" and max(self.learning_rate) >= limit:
            raise UserError(
                f"sweep.learning_rate={max(self.learning_rate):g} has no stationary state: "
                f"the largest curvature at the "
                f"minimum is {top_curvature:.3g}, stay below 2(1+momentum)/curvature = {limit:.3g}"
            )
