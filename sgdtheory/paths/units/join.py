"""What tensors share when they are added, multiplied or contracted: axes of one name have the same
units."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from sgdtheory.annotations import Shape
from sgdtheory.paths.units.factors import common_factors, frozen_axes, ranks_of, refined
from sgdtheory.paths.units.label import Label
from sgdtheory.paths.units.units import Ids, Units

# for each factor, whether a tensor has it, and its units
Spread: TypeAlias = list[tuple[bool, Ids | None]]


class Operand(NamedTuple):
    """A tensor, and a letter for each of its axes."""

    label: Label
    names: str


def joined(units: Units, operands: Sequence[Operand], out: str, bends: str = "") -> Label:
    """The label of what an einsum of these names makes, or any operation that treats all indices of
    an axis alike: units that meet are one, and what is not in `out` is summed over. `bends`: the
    axes where units that meet are multiplied one by one."""
    names = out
    for operand in operands:
        names += "".join(name for name in operand.names if name not in names)
    sizes = {}
    for name in names:
        operands, sizes[name] = in_common_factors(units, operands, name)
    spreads = [spread(operand, names, sizes) for operand in operands]
    factors = [name for name in names for _ in sizes[name]]
    met: list[Ids | None] = []
    for k in range(len(factors)):
        met.append(_meet(units, spreads, k, factors[k] in bends))
    count = sum(len(sizes[name]) for name in out)
    kept = [_summed(units, ids, count) for ids in met[:count]]
    return Label(tuple(sizes[name] for name in out), tuple(kept))


def in_common_factors(
    units: Units, operands: Sequence[Operand], name: str
) -> tuple[list[Operand], Shape]:
    """The operands with the axis of one name in the same factors, and these."""
    having = {}
    for k, (label, names) in enumerate(operands):
        if name in names and label.axes[names.index(name)]:
            having[k] = label.axes[names.index(name)]
    if not having:
        return list(operands), ()
    sizes = common_factors(list(having.values()))
    ranks = None
    for k, own in having.items():
        if own == sizes:
            label, names = operands[k]
            ranks = ranks_of(label, names.index(name))
            break
    changed = list(operands)
    for k, own in having.items():
        label, names = operands[k]
        axis = names.index(name)
        if sizes is None:
            label = _as_one_frozen(units, label, axis, prod(own))
        else:
            label = refined(units, label, axis, sizes, ranks)
        changed[k] = Operand(label, names)
    if sizes is None:
        sizes = (prod(next(iter(having.values()))),)
    return changed, sizes


def _as_one_frozen(units: Units, label: Label, axis: int, size: int) -> Label:
    label = frozen_axes(units, label, [axis])
    span = label.span(axis)
    parts: list[Ids | None] = []
    for k, ids in enumerate(label.ids):
        new = ids
        if ids is not None and k not in span:
            along = ids.shape[span.start : span.stop]
            wide = ids.shape[: span.start] + label.axes[axis] + ids.shape[span.stop :]
            length = size if prod(along) > 1 else 1
            if length > 1:
                ids = np.broadcast_to(ids, wide)
            new = ids.reshape(*ids.shape[: span.start], length, *ids.shape[span.stop :])
        if k not in span or k == span.start:
            parts.append(new)
    axes = list(label.axes)
    axes[axis] = (size,)
    return Label(tuple(axes), tuple(parts))


def spread(operand: Operand, names: str, sizes: dict[str, Shape]) -> Spread:
    """For every factor of all names whether the operand has it, and its units in an array with an
    axis for every factor."""
    label = operand.label
    order = []
    shape_from = []
    for name in names:
        axis = operand.names.find(name)
        span = label.span(axis) if axis >= 0 else range(0)
        order += list(span)
        has = len(span) > 0
        shape_from += [has] * len(sizes[name])
    found: Spread = []
    own = iter(order)
    missing = tuple(k for k, has in enumerate(shape_from) if not has)
    for has in shape_from:
        if not has:
            found.append((False, None))
            continue
        ids = label.ids[next(own)]
        if ids is not None:
            ids = np.expand_dims(ids.transpose(order), missing)
        found.append((True, ids))
    return found


def _meet(
    units: Units,
    spreads: list[Spread],
    factor: int,
    bends: bool,
) -> Ids | None:
    """The units of one factor that all operands have in common; None where one's stay where they
    are, and so all."""
    having = [k for k, parts in enumerate(spreads) if parts[factor][0]]
    is_free = all(spreads[k][factor][1] is not None for k in having)
    if not is_free:
        for k in having:
            hold(units, spreads[k], factor)
        return None
    met = [ids for k in having if (ids := spreads[k][factor][1]) is not None]
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
        if ids is not None and ids.shape[factor] > 1:
            indices = np.arange(ids.shape[factor])
            shape = [1] * ids.ndim
            shape[factor] = len(indices)
            units.tell_apart(ids, indices.reshape(shape))
            units.bend(ids)


def _summed(units: Units, ids: Ids | None, count: int) -> Ids | None:
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
