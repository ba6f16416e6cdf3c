"""Whether a watched cloud was at rest, by the two halves of the time: on the way to a steady state
nothing is seen of that state."""

from math import hypot, sqrt

from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Row


def beyond_error(row: Row, name: str) -> float:
    """How far the number `name` moved from the first half of the time to the second, less what its
    error makes: √(Δ² − σ_Δ²), Δ of the column `<name>_change`; 0 in a row without it.

    >>> beyond_error({"area_change": 0.5, "area_change_stderr": 0.3}, "area")
    0.4
    """
    change = row.get(f"{name}_change")
    if change is None:
        return 0.0
    error = row.get(f"{name}_change_stderr") or 0.0
    return sqrt(max(0.0, change**2 - error**2))


def at_rest(row: Row, name: str) -> Measured:
    """The number `name`, its error with how far it moved while it was watched: a transient that
    dies within the time is off the mean by no more than twice that.

    >>> print(at_rest({"area": 1.2, "area_stderr": 0.003, "area_change": -0.3}, "area"))
    1.20 ± 0.30
    """
    number = Measured.read(row, name)
    if number.value is None:
        return number
    return number._replace(stderr=hypot(number.stderr or 0.0, beyond_error(row, name)))


def unrest(row: Row, name: str) -> str:
    """Why the cloud is not taken for one at rest: its number moved by more than its error; empty
    where it did not.

    >>> unrest({"area": 1.2, "area_stderr": 0.3, "area_change": -0.1}, "area")
    ''
    """
    moved = beyond_error(row, name)
    if moved <= (row.get(f"{name}_stderr") or 0.0):
        return ""
    change = in_short(row[f"{name}_change"], 2)
    return (
        f"not at rest: the {name} moves by {change} from the first half of the time to the second: "
        "raise burn_in and sgd.steps"
    )
