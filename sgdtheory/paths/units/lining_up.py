"""What putting tensors one behind the other does to their labels."""

from collections.abc import Sequence
from math import prod

import numpy as np
from torch import Tensor

from sgdtheory.paths.units.factors import merged, taken
from sgdtheory.paths.units.join import Operand, joined
from sgdtheory.paths.units.label import Label, labelled_alone
from sgdtheory.paths.units.labels import UnitLabels
from sgdtheory.paths.units.units import Ids


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
    """One behind the other along an axis; along the others all have the same units."""
    units = labels.units
    parts = [merged(units, part, axis) for part in parts]
    count = len(parts[0].axes)
    others = "".join(chr(ord("a") + k) for k in range(count) if k != axis)
    own = "".join(chr(ord("A") + k) for k in range(len(parts)))
    operands = []
    for name, part in zip(own, parts, strict=True):
        operands.append(Operand(part, others[:axis] + name + others[axis:]))
    together = joined(units, operands, others + own)
    base = joined(units, [Operand(together, others + own)], others)
    pieces: list[Ids | None] = []
    for k in range(len(parts)):
        pieces.append(_piece(together, count - 1 + k, len(base.ids)))
    label = base.with_axes((*base.axes[:axis], (), *base.axes[axis:]))
    sizes = [prod(part.axes[axis]) for part in parts]
    total = sum(sizes)
    if total == 1:
        return label
    label = label.with_factor(axis, total, None)
    if all(piece is None for piece in pieces):
        return label
    filled = [_told_apart(labels, p, n) for p, n in zip(pieces, sizes, strict=True)]
    ids = _concatenated(filled)
    units.bend(ids)
    at = label.span(axis).start
    arrays = list(label.ids)
    arrays[at] = np.moveaxis(ids, -1, at)
    return Label(label.axes, tuple(arrays))


def _piece(together: Label, axis: int, others: int) -> Ids | None:
    """The units of one part's axis, [factors of the other axes …, units]."""
    span = together.span(axis)
    if not len(span):
        return None
    ids = together.ids[span.start]
    if ids is None:
        return None
    apart = tuple(k for k in range(others, ids.ndim) if k != span.start)
    return ids.squeeze(apart)


def _told_apart(labels: UnitLabels, piece: Ids | None, size: int) -> Ids:
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
