"""Whether one measured number is above another, whether samples rise, where they pass a level, and
ratios of numbers with errors."""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, hypot, isfinite, log, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from sgdtheory.statistics.few import SIGMAS, of_few, student
from sgdtheory.statistics.measured import Measured


def higher(first: Measured, second: Measured) -> bool | None:
    """Whether the first of two independent numbers is above the second, by more than two combined
    standard errors; None where one is missing, or they are nearer to each other than that.

    >>> higher(Measured(1.0, 0.1), Measured(0.5, 0.1)), higher(Measured(0.5, 0.1), Measured(1.0))
    (True, False)
    >>> higher(Measured(1.0, 0.5), Measured(0.5))
    """
    return above(difference(first, second), 0.0)


def above(number: Measured, bar: float, by: float = SIGMAS) -> bool | None:
    """Whether a number is above an exact bar. None where it is missing, or it is within so many
    standard errors of the bar: either may be the sample's; an exact number is above or not.

    >>> above(Measured(1.0, 0.1), 0.5), above(Measured(0.2, 0.1), 0.5), above(Measured(0.5), 0.5)
    (True, False, False)
    >>> above(Measured(0.6, 0.1), 0.5)
    """
    if number.value is None or not isfinite(number.value):
        return None
    off = number.value - bar
    doubtful = by * _error(number)
    if off > doubtful:
        return True
    return False if off < -doubtful or not doubtful else None


def mean_above(
    mean: Measured, bar: float, more: str, by: float = SIGMAS, samples: int | None = None
) -> tuple[bool | None, Measured]:
    """`above` of a mean over samples, whose missing error is not that of an exact number; and the
    mean, with the reason where nothing can be said: what `more` would tell. Of so few `samples`
    it takes Student's two errors at the least (`student`).

    >>> mean_above(Measured(1.0, 0.1), 0.5, "raise pairs")[0]
    True
    >>> mean_above(Measured(1.0, 0.1), 0.5, "raise pairs", samples=2)[0]
    >>> mean_above(Measured.mean([1.0]), 0.5, "raise pairs")[1].why
    'a single sample has no error: raise pairs'
    """
    if mean.value is not None and (mean.stderr is None or samples == 1):
        return None, mean._replace(why=f"a single sample has no error: {more}")
    if samples is not None and samples > 1:
        by = max(by, SIGMAS * student(samples - 1))
    holds = above(mean, bar, by)
    if holds is None:
        why = f"it is within {by:g} standard errors of {bar:g}: {more}"
        mean = mean._replace(why=mean.why or why)
    return holds, mean


def every(verdicts: Sequence[bool | None]) -> bool | None:
    """Whether all of several verdicts hold; None where none fails and one cannot be said, or where
    there is none.

    >>> every([True, True]), every([None, False]), every([True, None]), every([])
    (True, False, None, None)
    """
    if False in verdicts:
        return False
    return True if verdicts and None not in verdicts else None


def difference(first: Measured, second: Measured) -> Measured:
    """first − second of independent numbers, with both errors.

    >>> difference(Measured(1.0, 0.3), Measured(0.5, 0.4))
    Measured(value=0.5, stderr=0.5, unit='', why='')
    """
    for number in (first, second):
        if number.value is None:
            return number
    assert first.value is not None and second.value is not None
    error = hypot(_error(first), _error(second))
    return Measured(first.value - second.value, error)


def ascend(numbers: Sequence[Measured]) -> bool | None:
    """Whether independent numbers, in order, rise: True where the last is above the first by more
    than two combined standard errors and none is below the one before it by more; False where one
    is, or the last is below the first; None where the errors do not let it be said.

    >>> ascend([Measured(0.3, 0.01), Measured(0.7, 0.01)])
    True
    >>> ascend([Measured(0.701, 0.03), Measured(0.7, 0.03)])
    """
    falls = [above(difference(a, b), 0.0) for a, b in pairwise(numbers)]
    rise = above(difference(numbers[-1], numbers[0]), 0.0)
    if True in falls or rise is False:
        return False
    missing = any(number.value is None for number in numbers)
    return None if missing else rise


def _error(number: Measured) -> float:
    """The standard error; 0 of an exact number."""
    return number.stderr or 0.0


def sigmas(number: Measured) -> float:
    """The number in units of its standard error, z; 0 where either is missing: nothing is known,
    and so no verdict is to be had from a 0 (`above`, `mean_above`).

    >>> sigmas(Measured(3.0, 0.5))
    6.0
    """
    if number.value is None or not number.stderr:
        return 0.0
    return number.value / number.stderr


def rises(samples: Sequence[Sequence[float]]) -> bool | None:
    """Whether paired samples, one row for each setting in order, rise: True where the last row is
    above the first by more than two standard errors of their mean difference (of few samples
    Student's, `of_few`), and no row below the one before it by more; False where one is, or the
    last row is below the first, or the same; None where the errors do not let it be said, as those
    of single samples, which have none.

    >>> rises([[1.0, 1.1], [2.0, 2.1], [3.0, 3.1]]), rises([[1.0], [2.0]])
    (True, None)
    """
    if len(samples[0]) < 2:
        return None
    falls = [above(_rise(second, first), 0.0) for first, second in pairwise(samples)]
    return False if True in falls else above(_rise(samples[0], samples[-1]), 0.0)


def _rise(first: Sequence[float], second: Sequence[float]) -> Measured:
    """The mean difference of paired samples, the second less the first, as it is judged."""
    differences = [b - a for a, b in zip(first, second, strict=True)]
    return of_few(Measured.mean(differences), len(differences))


def crossing(points: Sequence[tuple[float, Measured]], level: float, why: str) -> Measured:
    """The x at which measured numbers, in ascending order of x, first pass a level from below, by
    linear interpolation with the larger error of the two neighbours; no number, for this reason,
    where they do not pass it.

    >>> crossing([(0.0, Measured(0.0, 0.1)), (2.0, Measured(1.0, 0.1))], 0.25, "always below")
    Measured(value=0.5, stderr=0.2, unit='', why='')
    """
    passing = passed_between(points, level)
    if passing is None:
        return Measured.nothing(why)
    (x, first), (next_x, second) = passing
    assert first.value is not None and second.value is not None
    slope = (second.value - first.value) / (next_x - x)
    missing = level - first.value
    error = max(_error(first), _error(second))
    return Measured(x + missing / slope, error / slope)


Point: TypeAlias = tuple[float, Measured]


def passed_between(points: Sequence[Point], level: float) -> tuple[Point, Point] | None:
    """The two neighbours, in ascending order of x, between which measured numbers first pass a
    level from below. A straight line from one to the other says where, if they are near.

    >>> passed_between([(0.0, Measured(0.0)), (2.0, Measured(1.0))], 2.0)
    """
    for first, second in pairwise(points):
        below, above_it = first[1].value, second[1].value
        assert below is not None and above_it is not None
        if below < level <= above_it:
            return first, second
    return None


def ratio(first: Measured, second: Measured, why: str) -> Measured:
    """first/second with the error of a quotient; no number, for this reason, where the second is
    not above zero.

    >>> ratio(Measured(6.0, 0.3), Measured(2.0), "no noise at the ends")
    Measured(value=3.0, stderr=0.15, unit='', why='')
    """
    if first.value is None or second.value is None:
        return Measured.nothing(why)
    if second.value <= 0 or not isfinite(first.value):
        return Measured.nothing(why)
    quotient = first.value / second.value
    by_first = _error(first) / second.value
    by_second = quotient * _error(second) / second.value
    return Measured(quotient, hypot(by_first, by_second))


def quotient_of_sums(above: ArrayLike, below: ArrayLike) -> Measured:
    """Σ above/Σ below over paired samples [N] of each, with its error over them: a quotient of
    means, where single quotients may be anything.

    >>> quotient_of_sums([1.0, 3.0], [2.0, 6.0])
    Measured(value=0.5, stderr=0.0, unit='', why='')
    """
    numerators = np.asarray(above)
    denominators = np.asarray(below)
    share = numerators.sum() / denominators.sum()
    residuals = numerators - share * denominators
    typical = denominators.mean()
    spread = Measured.mean(residuals / typical)
    return Measured(float(share), spread.stderr)


def weighted_mean(values: ArrayLike, errors: ArrayLike) -> Measured:
    """Mean of values [N] by 1/error²; its error is × √max(1, χ²/dof), so that values which scatter
    more than their errors say count.

    >>> weighted_mean([1.0, 3.0], [1.0, 1.0])
    Measured(value=2.0, stderr=1.0, unit='', why='')
    """
    numbers = np.asarray(values)
    stderrs = np.asarray(errors)
    weights = 1 / stderrs**2
    freedom = max(1, len(numbers) - 1)
    mean = float(np.average(numbers, weights=weights))
    residuals = (numbers - mean) / stderrs
    chi2 = float((residuals**2).sum() / freedom)
    variance = max(1.0, chi2) / weights.sum()
    return Measured(mean, sqrt(variance))


def geometric_mean(ratios: list[float], name: str) -> tuple[Measured, list[float]]:
    """(exp⟨log x⟩ with its error, the ratios themselves); no number where one is not above zero.

    >>> round(geometric_mean([1.0, 4.0], "sharpness")[0].value, 12)
    2.0
    """
    if not all(ratio > 0 for ratio in ratios):
        unknown = Measured.nothing(f"{name} is not above zero everywhere")
        return unknown, ratios
    logs = [log(ratio) for ratio in ratios]
    mean = Measured.mean(logs)
    assert mean.value is not None
    value = exp(mean.value)
    stderr = None
    if mean.stderr is not None:
        stderr = value * mean.stderr
    return Measured(value, stderr), ratios
