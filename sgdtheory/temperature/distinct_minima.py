"""Which minima of a sweep are one: convex objectives have one, and units of a network another
order."""

from collections.abc import Mapping, Sequence
from math import isclose

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.temperature.reference_minimum import ReferenceMinimum

SAME = 1e-6  # relative, of L*, h_max and Tr C: what polishing in float64 leaves is far less
TOLD = 3  # minima that are named
ROUNDING = 1e-12  # of them where they are 0
Grounds = Mapping[tuple[int, int], ReferenceMinimum]  # by number of the minimum, and b


def same_as(grounds: Grounds) -> dict[int, int]:
    """Of each minimum that is there again the first that is the same, for every b: L*, h_max and
    Tr C are equal to rounding, as those of mirror images are."""
    by_number: dict[int, list[ReferenceMinimum]] = {}
    for (number, _), ground in grounds.items():
        by_number.setdefault(number, []).append(ground)
    firsts: list[int] = []
    again: dict[int, int] = {}
    for number, own in by_number.items():
        for first in firsts:
            others = by_number[first]
            are_alike = len(own) == len(others) and all(map(_are_one, own, others))
            if are_alike:
                again[number] = first
                break
        else:
            firsts.append(number)
    return again


def _are_one(one: ReferenceMinimum, other: ReferenceMinimum) -> bool:
    """Whether two minima are one, as far as a cloud can tell."""
    pairs = [
        (one.loss, other.loss),
        (one.top_curvature, other.top_curvature),
        (one.noise_trace, other.noise_trace),
    ]
    return all(isclose(a, b, rel_tol=SAME, abs_tol=ROUNDING) for a, b in pairs)


def by_minimum(cells: Sequence[Row]) -> list[Rows]:
    """The cells of each minimum, those where it is there again among them."""
    numbered = [{**cell, "minimum": _first_of(cell)} for cell in cells]
    return list(grouped(numbered, "minimum").values())


def _first_of(cell: Row) -> int | None:
    number: int | None = cell.get("same_as", cell.get("minimum"))
    return number


def at_minima(cells: Sequence[Row]) -> str:
    """at 4 minima that count as 2; nothing of a single one."""
    found = len({cell.get("minimum") for cell in cells})
    different = len(by_minimum(cells))
    if found == 1:
        return ""
    if different == found:
        return f" at {found} minima"
    return f" at {found} minima that count as {different}"


def distinct_claims(cells: Sequence[Row]) -> list[Claim]:
    """That minima which are there again count as one; nothing where all are different."""
    again = {cell["minimum"]: cell["same_as"] for cell in cells if "same_as" in cell}
    if not again:
        return []
    told = []
    for first in dict.fromkeys(again.values()):
        numbers = [number for number, same in again.items() if same == first]
        told.append(f"{_minima(numbers)} minimum {first} again, or a mirror image")
    found = len({cell["minimum"] for cell in cells})
    left = found - len(again)
    words = (
        f"{'; '.join(told)}: L*, h_max and Tr C are equal to rounding; {found} minima count as "
        f"{left}, with clouds of their own"
    )
    return [Claim("distinct", words, Measured(float(left)), "", None)]


def _minima(numbers: list[int]) -> str:
    """minima 1, 2, 3 and 4 more are; minimum 1 is"""
    if len(numbers) == 1:
        return f"minimum {numbers[0]} is"
    named = ", ".join(map(str, numbers[:TOLD]))
    left = len(numbers) - TOLD
    more = ""
    if left > 0:
        more = f" and {left} more"
    return f"minima {named}{more} are"
