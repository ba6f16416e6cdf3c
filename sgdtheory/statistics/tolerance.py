"""Whether measured numbers are what was asked within a tolerance, where their errors let that be
said."""

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import NamedTuple

from sgdtheory.statistics.few import SIGMAS
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.trends import every

ROUNDING = 1e-9  # relative: 1 − .99 is within .01


class Judged(NamedTuple):
    """Of several numbers: which one decides, whether all are near, and why that cannot be said."""

    at: int
    holds: bool | None
    why: str = ""


def near(number: Measured, exact: float, within: float) -> bool | None:
    """Whether a number is within a tolerance of an exact one. False where it is further by more
    than two standard errors; None where an error that is larger than the tolerance, or a distance
    beyond it by less than two, may be the sample's.

    >>> near(Measured(1.03, 0.02), 1, 0.05), near(Measured(1.2, 0.02), 1, 0.05)
    (True, False)
    >>> near(Measured(1.03, 0.2), 1, 0.05), near(Measured(1.2, 0.2), 1, 0.05)
    (None, None)
    """
    if number.value is None or not isfinite(number.value):
        return None
    off = abs(number.value - exact)
    error = number.stderr or 0.0
    reach = within * (1 + ROUNDING)
    if off > reach + SIGMAS * error:
        return False
    return True if off <= reach and error <= reach else None


def doubt(number: Measured, within: float, more: str) -> str:
    """Why `near` cannot say it, and what to do; an error alone may be within the tolerance.

    >>> doubt(Measured(1.19, 0.23), 0.05, "raise replicas")
    '± 0.23 is more than the 0.05 that is asked: raise replicas'
    """
    if number.value is None or not isfinite(number.value):
        return number.why or "not finite"
    error = number.stderr or 0.0
    told = f"± {in_short(error, 2)}"
    if error > within:
        return f"{told} is more than the {within:g} that is asked: {more}"
    return f"with {told} it may be within the {within:g} that is asked: {more}"


def all_near(numbers: Sequence[Measured], exact: float, within: float, more: str) -> Judged:
    """`near` of all of one number or more: one that is not near refutes all, else one that cannot
    be said leaves them open. The one that decides is the furthest of its kind.

    >>> all_near([Measured(1.1, 0.2), Measured(0.8, 0.01)], 1, 0.05, "raise replicas")
    Judged(at=1, holds=False, why='')
    """
    found = [near(number, exact, within) for number in numbers]
    holds = every(found)

    def distance(k: int) -> float:
        value = numbers[k].value
        return abs(value - exact) if value is not None and isfinite(value) else float("inf")

    at = max((k for k, each in enumerate(found) if each is holds), key=distance)
    why = ""
    if holds is None:
        why = doubt(numbers[at], within, more)
    return Judged(at, holds, why)


def beyond_errors(spread: float, by_errors: float, count: int) -> Measured:
    """What is left of the variance of `count` numbers, of this spread, without that which their
    errors make, and how well it is known: s² + e² of them varies by √((4s²e² + 2e⁴)/(count − 1)).

    >>> print(beyond_errors(0.05, 0.0016, 33))
    0.00090 ± 0.00058
    """
    left = spread**2 - by_errors
    variance = 4 * max(0.0, left) * by_errors + 2 * by_errors**2
    return Measured(left, sqrt(variance / (count - 1)))
