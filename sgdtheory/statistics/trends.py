"""Whether one measured number is above another, whether samples rise, and how many times as high
one is.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, hypot, isfinite, log

from sgdtheory.statistics.measured import Measured

SIGMAS = 2.0  # standard errors by which numbers must differ to count as different


def higher(first: Measured, second: Measured) -> bool | None:
    """Whether the first is above the second by more than two combined standard errors; None where
    one is missing.
    """
    if first.value is None or second.value is None:
        return None
    return first.value - second.value > SIGMAS * hypot(first.stderr or 0.0, second.stderr or 0.0)


def rises(samples: Sequence[Sequence[float]]) -> bool | None:
    """Whether paired samples, a row for each setting in order, rise: from the first row to the last
    by more than two standard errors of their mean difference, and from no row to the next do they
    fall by more. None for single samples, whose differences have no error.
    """
    if len(samples[0]) < 2:
        return None
    rise = _difference(samples[0], samples[-1])
    steps = [_difference(first, second) for first, second in pairwise(samples)]
    return _bound(rise, -1) > 0 and all(_bound(step, +1) >= 0 for step in steps)


def _difference(first: Sequence[float], second: Sequence[float]) -> Measured:
    return Measured.mean([b - a for a, b in zip(first, second, strict=True)])


def _bound(mean: Measured, side: int) -> float:
    assert mean.value is not None
    return mean.value + side * SIGMAS * (mean.stderr or 0.0)


def ratio(first: Measured, second: Measured, why: str) -> Measured:
    """first/second with the error of a quotient; nothing, for this reason, where the second is not
    above zero.
    """
    if (
        first.value is None
        or second.value is None
        or second.value <= 0
        or not isfinite(first.value)
    ):
        return Measured.nothing(why)
    quotient = first.value / second.value
    error = hypot(
        (first.stderr or 0.0) / second.value, quotient * (second.stderr or 0.0) / second.value
    )
    return Measured(quotient, error)


def geometric_mean(ratios: list[float], name: str) -> tuple[Measured, list[float]]:
    """(exp⟨log x⟩ with its error, the ratios themselves); nothing where one is not above zero."""
    if not all(ratio > 0 for ratio in ratios):
        return Measured.nothing(f"{name} is not above zero everywhere"), ratios
    mean = Measured.mean([log(ratio) for ratio in ratios])
    assert mean.value is not None
    value = exp(mean.value)
    return Measured(value, None if mean.stderr is None else value * mean.stderr), ratios
