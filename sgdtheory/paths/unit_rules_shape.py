"""What operations that only lay numbers out anew do to the labels of tensors."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from sgdtheory.paths.unit_factors import frozen_axes, merged, taken, viewed, without_axes
from sgdtheory.paths.unit_join import Operand, joined
from sgdtheory.paths.unit_label import Label, labelled_alone, unlabelled
from sgdtheory.paths.unit_labels import UnitLabels
from sgdtheory.paths.units import Ids


def same(labels: UnitLabels, out: Tensor, x: Tensor, *_: object, **__: object) -> Label:
    """x […] as it is."""
    return labels.of(x)


def view(labels: UnitLabels, out: Tensor, x: Tensor, *_: object) -> Label | None:
    """The same numbers in the same order, in another shape."""
    if out.numel() != x.numel():
        return None
    return viewed(labels.units, labels.of(x), tuple(out.shape))


def restride(labels: UnitLabels, out: Tensor, x: Tensor, *_: object) -> Label | None:
    """The same numbers at the same places, laid out otherwise in memory."""
    if out.shape == x.shape and torch.equal(out, x):
        return labels.of(x)
    return None


def permute(labels: UnitLabels, out: Tensor, x: Tensor, dims: Sequence[int]) -> Label:
    order = tuple(dim % x.ndim for dim in dims)
    return labels.of(x).permuted(order)


def transpose(
    labels: UnitLabels, out: Tensor, x: Tensor, first: int = -1, second: int = -2
) -> Label:
    order = list(range(x.ndim))
    if x.ndim > 1:
        first, second = first % x.ndim, second % x.ndim
        order[first], order[second] = second, first
    return labels.of(x).permuted(tuple(order))


def expand(labels: UnitLabels, out: Tensor, x: Tensor, *_: object, **__: object) -> Label:
    """Copies along an axis of length 1: they may be in any order, another one for each unit."""
    label = labels.of(x)
    label = label.with_axes(((),) * (out.ndim - x.ndim) + label.axes)
    copied = [axis for axis, size in enumerate(out.shape) if size > 1 and not label.axes[axis]]
    for k, axis in enumerate(copied):
        shape = _unit_sizes(label, copied[:k])
        copies = labels.units.new((*shape, out.shape[axis]))
        label = label.with_factor(axis, out.shape[axis], copies)
    return label


def _unit_sizes(label: Label, copied: Sequence[int]) -> list[int]:
    """How many units each factor has: 1 where its indices stay where they are, or are copies."""
    sizes = []
    for axis in range(len(label.axes)):
        for factor in label.span(axis):
            is_of_units = axis not in copied and label.ids[factor] is not None
            sizes.append(label.sizes[factor] if is_of_units else 1)
    return sizes


def repeat(labels: UnitLabels, out: Tensor, x: Tensor, times: Sequence[int]) -> Label:
    """Copies along any axis, one behind the other."""
    label = labels.of(x)
    own = ((),) * (len(times) - x.ndim) + label.axes
    apart: list[tuple[int, ...]] = []
    for factors in own:
        apart += [(), factors]
    label = label.with_axes(tuple(apart))
    for axis, count in enumerate(times):
        if count != 1:
            label = label.with_factor(2 * axis, count, labels.units.new((count,)))
    pairs = zip(label.axes[::2], label.axes[1::2], strict=True)
    return label.with_axes(tuple(copies + factors for copies, factors in pairs))


def select(labels: UnitLabels, out: Tensor, x: Tensor, dim: int, index: int) -> Label:
    dim = dim % x.ndim
    label = taken(labels.units, labels.of(x), dim, [index % x.shape[dim]])
    return label.with_axes(label.axes[:dim] + label.axes[dim + 1 :])


def unbind(labels: UnitLabels, out: Sequence[Tensor], x: Tensor, dim: int = 0) -> list[Label]:
    return [select(labels, part, x, dim, index) for index, part in enumerate(out)]


def slice_(
    labels: UnitLabels,
    out: Tensor,
    x: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Label:
    dim = dim % x.ndim
    indices = range(x.shape[dim])[start:end:step]
    if len(indices) == x.shape[dim]:
        return labels.of(x)
    return taken(labels.units, labels.of(x), dim, indices)


def flip(labels: UnitLabels, out: Tensor, x: Tensor, dims: Sequence[int]) -> Label:
    label = labels.of(x)
    for dim in dims:
        label = taken(labels.units, label, dim % x.ndim, range(x.shape[dim])[::-1])
    return label


def roll(
    labels: UnitLabels, out: Tensor, x: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()
) -> Label | None:
    """Indices moved on, the last ones to the front."""
    if not dims:
        return None
    label = labels.of(x)
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.shape[dim]
        indices = [(k - shift) % size for k in range(size)]
        label = taken(labels.units, label, dim % x.ndim, indices)
    return label


def split_(
    labels: UnitLabels, out: Sequence[Tensor], x: Tensor, sizes: object, dim: int = 0
) -> list[Label]:
    """Pieces one behind the other."""
    dim = dim % x.ndim
    start = 0
    pieces = []
    for part in out:
        end = start + part.shape[dim]
        pieces.append(slice_(labels, part, x, dim, start, end))
        start = end
    return pieces


def index_select(labels: UnitLabels, out: Tensor, x: Tensor, dim: int, index: Tensor) -> Label:
    places: list[Tensor | None] = [None] * x.ndim
    places[dim % x.ndim] = index
    return index_(labels, out, x, places)


def index_(labels: UnitLabels, out: Tensor, x: Tensor, indices: Sequence[Tensor | None]) -> Label:
    """By tensors of indices: constant ones of one axis are followed one by one, else the axes'
    indices stay where they are."""
    given = {axis: index for axis, index in enumerate(indices) if index is not None}
    label = labels.of(x)
    if len(given) == 1:
        ((axis, index),) = given.items()
        is_constant = index.ndim == 1 and not labels.is_labelled(index)
        if is_constant and index.dtype == torch.int64:
            places = (index % x.shape[axis]).tolist()
            return taken(labels.units, label, axis, places)
    for index in given.values():
        of_index = labels.of(index)
        frozen_axes(labels.units, of_index, range(index.ndim))
    label = frozen_axes(labels.units, label, list(given))
    axes = list(given)
    label = without_axes(labels.units, label, axes, keep=False)
    is_together = axes == list(range(axes[0], axes[-1] + 1))
    at = axes[0] if is_together else 0
    return with_fixed_axes(label, at, tuple(out.shape[at : at + out.ndim - len(label.axes)]))


def with_fixed_axes(label: Label, at: int, shape: tuple[int, ...]) -> Label:
    """With new axes [*shape] before an axis, whose indices stay where they are."""
    label = label.with_axes(label.axes[:at] + ((),) * len(shape) + label.axes[at:])
    for k, size in enumerate(shape):
        if size != 1:
            label = label.with_factor(at + k, size, None)
    return label


def cat(labels: UnitLabels, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Label:
    parts = [labels.of(x) for x in tensors if x.shape != (0,)]
    return lined_up(labels, parts, dim % out.ndim)


def stack(labels: UnitLabels, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> Label:
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
    """New indices that hold one number: those of units are interchangeable."""
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


def fixed(labels: UnitLabels, out: Tensor, *_: object, **__: object) -> Label:
    """Numbers of which nothing may move."""
    return unlabelled(tuple(out.shape))
