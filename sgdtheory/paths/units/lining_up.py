"""What putting tensors one behind the other does to their labels."""

from collections.abc import Sequence
from math import prod

import numpy as np
from torch import Tensor

from sgdtheory.paths.units.factors import merged, taken
from sgdtheory.paths.units.join import (
    Operand,
    Spread,
    hold,
    in_common_factors,
    spread,
    units_along,
)
from sgdtheory.paths.units.label import Label, labelled_alone, letters
from sgdtheory.paths.units.labels import UnitLabels
from sgdtheory.paths.units.units import FactorIds, Ids, Units


def cat(labels: UnitLabels, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Label:
    """Tensors […] one behind the other."""
    parts = [labels.of(x) for x in tensors if x.shape != (0,)]
    return lined_up(labels, parts, dim % out.ndim)


def stack(labels: UnitLabels, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Label:
    """Tensors […] along a new axis."""
    dim = dim % out.ndim
    parts = []
    for x in tensors:
        label = labels.of(x)
        axes = list(label.axes)
        axes.insert(dim, ())
        parts.append(label.with_axes(tuple(axes)))
    return lined_up(labels, parts, dim)


def lined_up(labels: UnitLabels, parts: Sequence[Label], axis: int) -> Label:
    """One behind the other along an axis; along the others each keeps its own units."""
    units = labels.units
    parts = [merged(units, part, axis) for part in parts]
    names = letters(len(parts[0].axes))
    own = names[axis]
    others = names.replace(own, "")
    operands = [Operand(part, names) for part in parts]
    sizes = {}
    for name in others:
        operands, sizes[name] = in_common_factors(units, operands, name)
    lengths = []
    spreads = []
    for operand in operands:
        factors = operand.label.axes[axis]
        lengths.append(prod(factors))
        found = spread(operand, others + own, {**sizes, own: factors})
        if not factors:
            found = _with_last_axis(found)
        spreads.append(found)
    count = sum(map(len, sizes.values()))
    arrays = [_together(units, spreads, k, lengths) for k in range(count)]
    length = sum(lengths)
    along = _one_behind_the_other(labels, spreads, lengths)
    axes = tuple(sizes[name] for name in others)
    if length == 1:
        arrays = [_without_last_axis(ids) for ids in arrays]
        label = Label((*axes, ()), tuple(arrays))
    else:
        label = Label((*axes, (length,)), (*arrays, along))
    order = list(range(len(others)))
    order.insert(axis, len(others))
    return label.permuted(tuple(order))


def _with_last_axis(found: Spread) -> Spread:
    """Units with one more axis, for a part of one index."""
    wide: Spread = []
    for has, ids in found:
        if ids is not None:
            ids = ids[..., None]
        wide.append((has, ids))
    wide.append((False, None))
    return wide


def _without_last_axis(ids: FactorIds) -> FactorIds:
    if ids is None:
        return None
    return ids.squeeze(-1)


def _together(
    units: Units, spreads: Sequence[Spread], factor: int, lengths: Sequence[int]
) -> FactorIds:
    """The units of one factor of the other axes, [factors …, indices of all parts]; 1 where they
    are the same in all."""
    having, arrays = units_along(spreads, factor)
    if len(arrays) < len(having):
        for found in having:
            hold(units, found, factor)
        return None
    first = arrays[0][..., :1]
    one = units.one(first)
    are_alike = all(np.array_equal(units.one(ids), one) for ids in arrays)
    if are_alike or len(having) < len(spreads):
        for ids in arrays:
            units.unify(first, ids)
        return first
    wide = []
    for ids, length in zip(arrays, lengths, strict=True):
        shape = (*ids.shape[:-1], length)
        wide.append(np.broadcast_to(ids, shape))
    return _concatenated(wide)


def _one_behind_the_other(
    labels: UnitLabels, spreads: Sequence[Spread], lengths: Sequence[int]
) -> FactorIds:
    """The units of the axis along which parts are lined up, [factors …, indices of all parts]."""
    pieces = [found[-1][1] for found in spreads]
    if all(piece is None for piece in pieces):
        for found in spreads:
            hold(labels.units, found, -1)
        return None
    filled = []
    for piece, length in zip(pieces, lengths, strict=True):
        filled.append(_told_apart(labels, piece, length))
    ids = _concatenated(filled)
    labels.units.bend(ids)
    return ids


def _told_apart(labels: UnitLabels, piece: FactorIds, size: int) -> Ids:
    """The units [factors …, indices] of a part; those of one that has none stay where they are."""
    if piece is not None:
        return piece
    ids = labels.units.new((size,))
    labels.units.tell_apart(ids, np.arange(size))
    return ids


def _concatenated(pieces: Sequence[Ids]) -> Ids:
    """Units [factors …, units] of all pieces, along the last axis."""
    leads = [piece.shape[:-1] for piece in pieces]
    lead = np.broadcast_shapes(*leads)
    wide = []
    for piece in pieces:
        shape = (*lead, piece.shape[-1])
        wide.append(np.broadcast_to(piece, shape))
    return np.concatenate(wide, -1)


def pad(labels: UnitLabels, out: Tensor, x: Tensor, pad: Sequence[int], value: float = 0) -> Label:
    """x […] with new indices that hold one number: those of units are interchangeable."""
    label = labels.of(x)
    for k in range(0, len(pad), 2):
        axis = x.ndim - 1 - k // 2
        before, after = pad[k : k + 2]
        if before < 0 or after < 0:
            start = max(0, -before)
            end = x.shape[axis] + min(0, after)
            indices = range(x.shape[axis])[start:end]
            label = taken(labels.units, label, axis, indices)
        label = _padded(labels, label, axis, max(0, before), max(0, after))
    return label


def _padded(labels: UnitLabels, label: Label, axis: int, before: int, after: int) -> Label:
    label = merged(labels.units, label, axis)
    parts = [label]
    if before:
        parts.insert(0, _padding(labels, label, axis, before))
    if after:
        parts.append(_padding(labels, label, axis, after))
    if len(parts) == 1:
        return label
    return lined_up(labels, parts, axis)


def _padding(labels: UnitLabels, label: Label, axis: int, size: int) -> Label:
    """Of so many new indices along an axis, which stay where they are if its own do."""
    shape = [1] * len(label.axes)
    shape[axis] = size
    axes: list[FactorIds] = [None] * len(shape)
    is_fixed = all(label.ids[k] is None for k in label.span(axis))
    if not is_fixed:
        axes[axis] = labels.units.new((size,))
    return labelled_alone(tuple(axes), tuple(shape))
