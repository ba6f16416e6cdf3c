"""Numbers as they come from Python: one alone, a sequence of any kind, an array or a tensor."""

from collections.abc import Iterable, Sequence
from math import isfinite
from numbers import Integral, Real
from typing import TypeAlias

import numpy as np
from torch import Tensor

from sgdtheory.errors import UserError

# what is taken for numbers
Numbers: TypeAlias = float | Sequence[float] | np.ndarray | Tensor


def number_of(given: object, name: str) -> float:
    """A finite number as Python's own; UserError where it is none."""
    plain = _plain(given)
    if isinstance(plain, bool) or not isinstance(plain, Real) or not _is_finite(plain):
        raise UserError(f"{name}: {given!r} is no number; give a finite one")
    return int(plain) if isinstance(plain, Integral) else float(plain)


def numbers_of(given: object, name: str) -> list[float]:
    """Finite numbers as Python's own, one alone being a list of one; UserError where they are
    none."""
    plain = given.tolist() if isinstance(given, np.ndarray | np.generic | Tensor) else given
    if isinstance(plain, str) or not isinstance(plain, Iterable):
        return [number_of(plain, name)]
    numbers = [number_of(one, name) for one in plain]
    if not numbers:
        raise UserError(f"{name}: there are none; give one number or several")
    return numbers


def positive_numbers_of(given: object, name: str) -> list[float]:
    """Numbers above 0, one alone being a list of one; UserError where some are not."""
    numbers = numbers_of(given, name)
    for number in numbers:
        if number <= 0:
            raise UserError(f"{name}: {number} is not above 0; give numbers that are")
    return numbers


def _is_finite(number: Real) -> bool:
    try:
        return isfinite(float(number))
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _plain(given: object) -> object:
    """What an array or a tensor of one number, of whatever library, holds."""
    item = getattr(given, "item", None)
    try:
        return item() if callable(item) else given
    except (ValueError, TypeError, RuntimeError):  # it has several
        return given
