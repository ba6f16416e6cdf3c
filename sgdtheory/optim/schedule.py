"""Learning-rate schedules: (step, steps) → the fraction of the peak learning rate in force at that
step.

A schedule is a pure function of the step, so it needs no state and survives a resumed run.
Fractions of the run, not step numbers, place its corners: halving `sgd.steps` shrinks the same
curve.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, inf, pi
from typing import Annotated, Protocol, runtime_checkable

from sgdtheory.annotations import Fraction, Importable
from sgdtheory.errors import UserError


@runtime_checkable
class Schedule(Protocol):
    def __call__(self, step: int, steps: int) -> float:
        """The factor on the peak learning rate at `step` in 0 … steps − 1."""
        ...


@dataclass(frozen=True)
class Constant:
    """The peak learning rate throughout."""

    def __call__(self, step: int, steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Steps:
    """factor^(number of milestones passed); ÷ 10 at 1/2 and 3/4 of the run as in He et al. 2016
    (1512.03385, 4.2)."""

    milestones: tuple[Fraction, ...] = (0.5, 0.75)
    factor: Fraction = 0.1

    def __call__(self, step: int, steps: int) -> float:
        return self.factor ** sum(step >= milestone * steps for milestone in self.milestones)


@dataclass(frozen=True)
class Cosine:
    """(1 + cos(π·step/steps))/2, from one to nearly nothing (Loshchilov & Hutter 2017, 1608.03983,
    Eq. 5, one cycle)."""

    def __call__(self, step: int, steps: int) -> float:
        return 0.5 * (1 + cos(pi * step / steps))


@dataclass(frozen=True)
class WSD:
    """Warm-up, stable, decay: linear up over `warmup`, one, then linear down over `decay` (Hu et
    al. 2024, 2404.06395)."""

    warmup: Fraction = 0.05
    decay: Fraction = 0.2

    def __call__(self, step: int, steps: int) -> float:
        rise = (step + 1) / (self.warmup * steps) if self.warmup else 1.0
        fall = (steps - step) / (self.decay * steps) if self.decay else 1.0
        return min(1.0, rise, fall)


@dataclass(frozen=True)
class Warmup:
    """Linear up over the first `share` of the run (Goyal et al. 2017, 1706.02677, 2.2), then what
    `then` says."""

    then: Schedule
    share: Fraction = 0.05

    def __call__(self, step: int, steps: int) -> float:
        rise = (step + 1) / (self.share * steps) if self.share else 1.0
        return min(1.0, rise) * self.then(step, steps)


@dataclass(frozen=True)
class Custom:
    """`factory(step, steps)`, from outside: the factor on the peak learning rate."""

    factory: Annotated[Callable[[int, int], float], Importable]

    def __call__(self, step: int, steps: int) -> float:
        factor = float(self.factory(step, steps))
        if not 0 <= factor < inf:
            raise UserError(
                f"schedule.factory: gives {factor} at step {step} of {steps}; it must be a number "
                f"of at least 0"
            )
        return factor
