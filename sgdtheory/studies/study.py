"""What studies share: what they are about, and how a trend is judged."""

from collections.abc import Sequence
from itertools import pairwise
from math import hypot, isfinite
from typing import Any, NamedTuple

from sgdtheory.measured import Measured

SIGMAS = 2.0  # standard errors by which numbers must differ to count as different


class Subject(NamedTuple):
    """What a study looks at, where other pipelines have one landscape."""

    title: str
    dim: int | None = None


def higher(first: Measured, second: Measured) -> bool | None:
    """Whether the first is above the second by more than two combined standard errors; None where one is missing."""
    if first.value is None or second.value is None:
        return None
    return first.value - second.value > SIGMAS * hypot(first.stderr or 0.0, second.stderr or 0.0)


def rises(samples: Sequence[Sequence[float]]) -> bool | None:
    """Whether paired samples, a row for each setting in order, rise: from the first row to the last by more than two
    standard errors of their mean difference, and from no row to the next do they fall by more. None for single samples,
    whose differences have no error."""
    if len(samples[0]) < 2:
        return None
    whole = _difference(samples[0], samples[-1])
    steps = [_difference(first, second) for first, second in pairwise(samples)]
    return _bound(whole, -1) > 0 and all(_bound(step, +1) >= 0 for step in steps)


def _difference(first: Sequence[float], second: Sequence[float]) -> Measured:
    return Measured.mean([b - a for a, b in zip(first, second, strict=True)])


def _bound(mean: Measured, side: int) -> float:
    assert mean.value is not None
    return mean.value + side * SIGMAS * (mean.stderr or 0.0)


def ratio(first: Measured, second: Measured, why: str) -> Measured:
    """first/second with the error of a quotient; nothing, for this reason, where the second is not above zero."""
    if first.value is None or second.value is None or second.value <= 0 or not isfinite(first.value):
        return Measured.nothing(why)
    found = first.value / second.value
    error = hypot((first.stderr or 0.0) / second.value, found * (second.stderr or 0.0) / second.value)
    return Measured(found, error)


def row_of(facts: dict[str, Any], **measured: Measured) -> dict[str, Any]:
    """One row of a table: facts, then numbers with their errors."""
    return facts | {key: value for name, x in measured.items() for key, value in x.columns(name).items()}
