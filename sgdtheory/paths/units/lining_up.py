"""What putting tensors one behind the other does to their labels."""

from collections.abc import Sequence
from math import prod

import numpy as np
from torch import Tensor

from sgdtheory.paths.units.factors import merged, taken
from sgdtheory.paths.units.join import Operand, Spread, hold, in_common_factors, spread
from sgdtheory.paths.units.label import Label, labelled_alone, letters
from sgdtheory.paths.units.labels import UnitLabels
from sgdtheory.paths.units.units import Ids, Units


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
        parts.append(label.with_axes((*label.axes[:dim], (), *label.axes[dim:])))
    return lined_up(labels, parts, dim)


def lined_up(labels: UnitLabels, parts: Sequence[Label], axis: int) -> Label:
    """One behind the other along an axis; along the others each keeps its own units."""
    units = labels.units
    parts = [merged(units, part, axis) for part in parts]
    letters_of_all = letters(len(parts[0].axes))
    own = letters_of_all[axis]
    others = letters_of_all.replace(own, "")
    operands = [Operand(part, letters_of_all) for part in parts]
    sizes = {}
    for name in others:
        operands, sizes[name] = in_common_factors(units, operands, name)
    lengths = [prod(part.axes[axis]) for part in parts]
    spreads = []
    for operand in operands:
        factors = operand.label.axes[axis]
        found = spread(operand, others + own, {**sizes, own: factors})
        spreads.append(found if factors else _with_last_axis(found))
    count = sum(map(len, sizes.values()))
    arrays = [_together(units, spreads, k, lengths) for k in range(count)]
    arrays.append(_one_behind_the_other(labels, spreads, lengths))
    label = Label((*(sizes[name] for name in others), (sum(lengths),)), tuple(arrays))
    if sum(lengths) == 1:
        arrays = [None if ids is None else ids.squeeze(-1) for ids in arrays[:-1]]
        label = Label((*label.axes[:-1], ()), tuple(arrays))
    last = len(parts[0].axes) - 1
    return label.permuted((*range(axis), last, *range(axis, last)))


def _with_last_axis(found: Spread) -> Spread:
    """Units with one more axis, for a part of one index."""
    wide = [(has, None if ids is None else ids[..., None]) for has, ids in found]
    return [*wide, (False, None)]


def _together(
    units: Units, spreads: Sequence[Spread], factor: int, lengths: Sequence[int]
) -> Ids | None:
    """The units of one factor of the other axes, [factors …, indices of all parts]; 1 where they
    are the same in all."""
    having = [k for k, found in enumerate(spreads) if found[factor][0]]
    known = {k: ids for k in having if (ids := spreads[k][factor][1]) is not None}
    if len(known) < len(having):
        for k in having:
            hold(units, spreads[k], factor)
        return None
    arrays = list(known.values())
    first = arrays[0][..., :1]
    are_alike = all(np.array_equal(units.one(ids), units.one(first)) for ids in arrays)
    if are_alike or len(having) < len(spreads):
        for ids in arrays:
            units.unify(first, ids)
        return first
    wide = [np.broadcast_to(ids, (*ids.shape[:-1], lengths[k])) for k, ids in known.items()]
    return _concatenated(wide)


def _one_behind_the_other(
    labels: UnitLabels, spreads: Sequence[Spread], lengths: Sequence[int]
) -> Ids | None:
    """The units of the axis along which parts are lined up, [factors …, indices of all parts]."""
    pieces = [found[-1][1] for found in spreads]
    if all(piece is None for piece in pieces):
        for found in spreads:
            hold(labels.units, found, -1)
        return None
    filled = [_told_apart(labels, p, n) for p, n in zip(pieces, lengths, strict=True)]
    ids = _concatenated(filled)
    labels.units.bend(ids)
    return ids


def _told_apart(labels: UnitLabels, piece: Ids | None, size: int) -> Ids:
    """The units [factors …, indices] of a part; those of one that has none stay where they are."""
    if piece is not None:
        return piece
    ids = labels.units.new((size,))
    labels.units.tell_apart(ids, np.arange(size))
    return ids


def _concatenated(pieces: Sequence[Ids]) -> Ids:
    """Units [factors …, units] of all pieces, along the last axis."""
    leads = np.broadcast_shapes(*(piece.shape[:-1] for piece in pieces))
    wide = [np.broadcast_to(piece, leads + piece.shape[-1:]) for piece in pieces]
    return np.concatenate(wide, -1)


def pad(labels: UnitLabels, out: Tensor, x: Tensor, pad: Sequence[int], value: float = 0) -> Label:
    """x […] with new indices that hold one number: those of units are interchangeable."""
    label = labels.of(x)
    for k in range(0, len(pad), 2):
        axis = x.ndim - 1 - k // 2
        before, after = pad[k : k + 2]
        if before < 0 or after < 0:
            indices = range(x.shape[axis])[max(0, -before) : x.shape[axis] + min(0, after)]
            label = taken(labels.units, label, axis, indices)
        label = _padded(labels, label, axis, max(0, before), max(0, after))
    return label


def _padded(labels: UnitLabels, label: Label, axis: int, before: int, after: int) -> Label:
    label = merged(labels.units, label, axis)
    is_fixed = all(label.ids[k] is None for k in label.span(axis))
    parts = []
    for size in (before, None, after):
        if size is None:
            parts.append(label)
        elif size:
            shape = [1] * len(label.axes)
            shape[axis] = size
            axes: list[Ids | None] = [None] * len(shape)
            if not is_fixed:
                axes[axis] = labels.units.new((size,))
            parts.append(labelled_alone(tuple(axes), tuple(shape)))
    if len(parts) == 1:
        return label
    return lined_up(labels, parts, axis)
