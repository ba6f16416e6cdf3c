"""What tensors share when they are added, multiplied or contracted: axes of one name have the same
units."""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from sgdtheory.annotations import Shape
from sgdtheory.paths.units.factors import common_factors, frozen_axes, merged, ranks_of, refined
from sgdtheory.paths.units.label import Label
from sgdtheory.paths.units.units import FactorIds, Ids, Units

# for each factor, whether a tensor has it, and its units
Spread: TypeAlias = list[tuple[bool, FactorIds]]


class Operand(NamedTuple):
    """A tensor, and a letter for each of its axes."""

    label: Label
    names: str


def joined(units: Units, operands: Sequence[Operand], out: str, bends: str = "") -> Label:
    """The label of what an einsum of these names makes, or any operation that treats all indices of
    an axis alike: units that meet are one, and what is not in `out` is summed over. `bends`: the
    axes where units that meet are multiplied one by one."""
    letters = [*out, *chain.from_iterable(operand.names for operand in operands)]
    names = "".join(dict.fromkeys(letters))
    sizes = {}
    for name in names:
        operands, sizes[name] = in_common_factors(units, operands, name)
    spreads = [spread(operand, names, sizes) for operand in operands]
    met: list[FactorIds] = []
    for name, of_axis in sizes.items():
        for _ in of_axis:
            factor = len(met)
            met.append(_meet(units, spreads, factor, name in bends))
    axes = tuple(sizes[name] for name in out)
    count = sum(map(len, axes))
    kept = [_summed(units, ids, count) for ids in met[:count]]
    return Label(axes, tuple(kept))


def in_common_factors(
    units: Units, operands: Sequence[Operand], name: str
) -> tuple[list[Operand], Shape]:
    """The operands with the axis of one name in the same factors, and these."""
    having = {}
    for k, (label, names) in enumerate(operands):
        axis = names.find(name)
        if axis >= 0 and label.axes[axis]:
            having[k] = label.axes[axis]
    if not having:
        return list(operands), ()
    all_sizes = list(having.values())
    sizes = common_factors(all_sizes)
    ranks = None
    for k, own in having.items():
        if own == sizes:
            label, names = operands[k]
            ranks = ranks_of(label, names.index(name))
            break
    changed = list(operands)
    for k in having:
        label, names = operands[k]
        axis = names.index(name)
        if sizes is None:
            label = _as_one_frozen(units, label, axis)
        else:
            label = refined(units, label, axis, sizes, ranks)
        changed[k] = Operand(label, names)
    if sizes is None:
        sizes = (prod(all_sizes[0]),)
    return changed, sizes


def _as_one_frozen(units: Units, label: Label, axis: int) -> Label:
    label = frozen_axes(units, label, [axis])
    label = merged(units, label, axis)
    return Label(label.axes, label.ids)


def spread(operand: Operand, names: str, sizes: dict[str, Shape]) -> Spread:
    """For every factor of all names whether the operand has it, and its units in an array with an
    axis for every factor."""
    label = operand.label
    order: list[int] = []  # the operand's factors, as the names have them
    missing: list[int] = []  # what it has not, of all factors
    spread_ids: Spread = []
    for name in names:
        axis = operand.names.find(name)
        if axis >= 0 and label.axes[axis]:
            span = label.span(axis)
            order += span
            spread_ids += [(True, label.ids[factor]) for factor in span]
        else:
            count = len(sizes[name])
            start = len(spread_ids)
            missing += range(start, start + count)
            spread_ids += [(False, None)] * count
    for k, (has, ids) in enumerate(spread_ids):
        if ids is not None:
            moved = ids.transpose(order)
            spread_ids[k] = (has, np.expand_dims(moved, missing))
    return spread_ids


def units_along(spreads: Sequence[Spread], factor: int) -> tuple[list[Spread], list[Ids]]:
    """The operands that have a factor, and its units in those where they do not stay where they
    are."""
    having = []
    free = []
    for found in spreads:
        has, ids = found[factor]
        if has:
            having.append(found)
        if ids is not None:
            free.append(ids)
    return having, free


def _meet(units: Units, spreads: list[Spread], factor: int, bends: bool) -> FactorIds:
    """The units of one factor that all operands have in common; None where one's stay where they
    are, and so all."""
    having, met = units_along(spreads, factor)
    if len(met) < len(having):
        for found in having:
            hold(units, found, factor)
        return None
    if not met:
        return None
    first = min(met, key=lambda ids: ids.size)
    for ids in met:
        if ids is not first:
            units.unify(first, ids)
    if bends and len(met) > 1:
        units.bend(first)
    return first


def hold(units: Units, parts: Spread, factor: int) -> None:
    """Tell apart all units of an operand that are others for each index of a factor."""
    for _, ids in parts:
        if ids is None:
            continue
        size = ids.shape[factor]
        if size == 1:
            continue
        shape = [1] * ids.ndim
        shape[factor] = size
        indices = np.arange(size).reshape(shape)
        units.tell_apart(ids, indices)
        units.bend(ids)


def _summed(units: Units, ids: FactorIds, count: int) -> FactorIds:
    """Units of a factor of the outcome, the same for each index of the factors that are summed
    over, which are those from `count` on."""
    if ids is None:
        return None
    first = ids
    for axis in range(count, ids.ndim):
        first = first.take([0], axis)
    if first.size < ids.size:
        units.unify(first, ids)
    return first.reshape(first.shape[:count])
