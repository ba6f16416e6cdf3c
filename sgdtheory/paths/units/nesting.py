"""How the units of factors that were one are nested: those of each are parts of those of the one
before."""

from collections.abc import Sequence
from itertools import pairwise

from sgdtheory.paths.units.units import NONE, FactorIds, Ids, Units


def nested(units: Units, ids: FactorIds, factor: int, order: Sequence[int]) -> list[FactorIds]:
    """For each factor of those that a factor with these units [… factors …] was split into, its
    units."""
    ids_of_parts: list[FactorIds] = [None] * len(order)
    if ids is None:
        return ids_of_parts
    units.bend(ids)
    innermost = order[-1]
    ids_of_parts[innermost] = ids
    for deep, above in pairwise(reversed(order)):
        ids = _wholes(units, ids, factor + above, factor + deep)
        ids_of_parts[above] = ids
    return ids_of_parts


def _wholes(units: Units, ids: Ids, outer: int, inner: int) -> Ids:
    """What units belong to that are other ones along two factors, the same for each index of the
    inner one: what is known already, or new units between them and what they belong to."""
    parts = ids
    while True:
        wholes = units.whole(parts)
        above = wholes.take([0], inner)
        is_whole = _is_alike(wholes, inner)
        is_above_both = is_whole and _is_alike(wholes, outer)
        if is_above_both or (wholes == NONE).any():
            first = ids.take([0], inner)
            new = units.new(first.shape)
            units.put_into(parts, new)
            if (above != NONE).all():
                units.put_into(new, above)
            return new
        if is_whole:
            return above
        parts = wholes


def _is_alike(ids: Ids, axis: int) -> bool:
    first = ids.take([0], axis)
    return bool((ids == first).all())
