"""Splitting and merging the factors of an axis, and letting them stay where they are."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import numpy as np

from sgdtheory.annotations import Shape
from sgdtheory.paths.units.label import Label, unlabelled
from sgdtheory.paths.units.units import NONE, Ids, Units


def freeze(units: Units, label: Label, factor: int) -> Label:
    """With one factor's units staying where they are."""
    size = label.sizes[factor]
    indices = _along(np.arange(size), factor, len(label.ids))
    for ids in label.dependents(factor):
        units.tell_apart(ids, indices)
        units.bend(ids)
    parts = list(label.ids)
    parts[factor] = None
    return _with_ids(label, parts)


def frozen_axes(units: Units, label: Label, axes: Sequence[int]) -> Label:
    """With the units of these axes staying where they are."""
    for axis in axes:
        for factor in label.span(axis):
            label = freeze(units, label, factor)
    return label


def frozen(units: Units, label: Label, shape: Shape) -> Label:
    """Of a tensor [*shape] that holds the same numbers, all of which stay where they are."""
    frozen_axes(units, label, range(len(label.axes)))
    return unlabelled(shape)


def alike_along(units: Units, label: Label, axes: Sequence[int]) -> Label:
    """With the units of the other axes the same for each index of these."""
    within = {factor for axis in axes for factor in label.span(axis)}
    parts = list(label.ids)
    for k, ids in enumerate(parts):
        if ids is None or k in within:
            continue
        first = ids
        for factor in within:
            first = first.take([0], factor)
        if first.size < ids.size:
            units.unify(first, ids)
        parts[k] = first
    return _with_ids(label, parts)


def without_axes(units: Units, label: Label, axes: Sequence[int], keep: bool) -> Label:
    """After a sum over axes, which are of length 1 then or gone."""
    label = alike_along(units, label, axes)
    gone = tuple(factor for axis in axes for factor in label.span(axis))
    parts: list[Ids | None] = []
    for factor, ids in enumerate(label.ids):
        if factor not in gone:
            parts.append(None if ids is None else ids.squeeze(gone))
    left = []
    for axis, factors in enumerate(label.axes):
        if axis not in axes:
            left.append(factors)
        elif keep:
            left.append(())
    return Label(tuple(left), tuple(parts))


def split(
    units: Units, label: Label, factor: int, sizes: Sequence[int], order: Sequence[int]
) -> Label:
    """With one factor as several of these sizes; `order` is how they are nested, the outermost
    first: the units of each are parts of those of the one before."""
    parts: list[Ids | None] = []
    for k, ids in enumerate(label.ids):
        new = None
        if ids is not None:
            own = tuple(sizes) if ids.shape[factor] > 1 else (1,) * len(sizes)
            new = ids.reshape(ids.shape[:factor] + own + ids.shape[factor + 1 :])
        if k == factor:
            parts += _nested(units, new, factor, order)
        else:
            parts.append(new)
    split_axes = []
    for axis, factors in enumerate(label.axes):
        k = factor - label.span(axis).start
        if 0 <= k < len(factors):
            factors = (*factors[:k], *sizes, *factors[k + 1 :])
        split_axes.append(factors)
    return _with_ids(label.with_axes(tuple(split_axes)), parts)


def _nested(
    units: Units, ids: Ids | None, factor: int, order: Sequence[int]
) -> Sequence[Ids | None]:
    """For each factor of those that a factor with these units [… factors …] was split into, its
    units."""
    found: list[Ids | None] = [None for _ in order]
    if ids is None:
        return found
    units.bend(ids)
    found[order[-1]] = ids
    for deep, above in pairwise(reversed(order)):
        ids = _wholes(units, ids, factor + above, factor + deep)
        found[above] = ids
    return found


def _wholes(units: Units, ids: Ids, outer: int, inner: int) -> Ids:
    """What units belong to that are other ones along two factors, the same for each index of the
    inner one: what is known already, or new units between them and what they belong to."""
    parts = ids
    while True:
        wholes = units.whole(parts)
        is_whole = _is_alike(wholes, inner)
        if (wholes == NONE).any() or (is_whole and _is_alike(wholes, outer)):
            new = units.new(ids.take([0], inner).shape)
            above = wholes.take([0], inner)
            units.put_into(parts, new)
            if (above != NONE).all():
                units.put_into(new, above)
            return new
        if is_whole:
            return wholes.take([0], inner)
        parts = wholes


def _is_alike(ids: Ids, axis: int) -> bool:
    return bool((ids == ids.take([0], axis)).all())


def refined(
    units: Units, label: Label, axis: int, sizes: Sequence[int], ranks: Sequence[int] | None = None
) -> Label:
    """With an axis in factors of these sizes, finer than its own, nested by their ranks, the
    outermost first (None: the first first)."""
    todo = list(range(len(sizes)))
    factor = label.span(axis).start
    while todo:
        taken_up = [todo.pop(0)]
        while prod(sizes[k] for k in taken_up) < label.sizes[factor]:
            taken_up.append(todo.pop(0))
        if len(taken_up) > 1:
            order = list(range(len(taken_up)))
            if ranks is not None:
                own = [ranks[k] for k in taken_up]
                order.sort(key=own.__getitem__)
            label = split(units, label, factor, [sizes[k] for k in taken_up], order)
        factor += len(taken_up)
    return label


def ranks_of(label: Label, axis: int) -> list[int]:
    """How deep each factor of an axis is nested in the others, those that stay where they are
    last."""
    span = label.span(axis)
    ranks = []
    for factor in span:
        ids = label.ids[factor]
        ranks.append(len(span) if ids is None else sum(ids.shape[k] > 1 for k in span))
    return ranks


def common_factors(axes: Sequence[Shape]) -> Shape | None:
    """The coarsest factors that are finer than all of these; None where there are none."""
    strides = {1, prod(axes[0])}
    for factors in axes:
        strides |= {prod(factors[k:]) for k in range(len(factors))}
    ordered = sorted(strides, reverse=True)
    sizes = []
    for wide, narrow in pairwise(ordered):
        if wide % narrow:
            return None
        sizes.append(wide // narrow)
    return tuple(sizes)


def viewed(units: Units, label: Label, shape: Shape) -> Label:
    """Of the same numbers as a tensor of another shape."""
    whole = tuple(label.sizes)
    target = tuple(size for size in shape if size != 1)
    sizes = common_factors([whole, target])
    if sizes is None:
        return frozen(units, label, shape)
    label = refined(units, label.with_axes((whole,)), 0, sizes)
    axes = []
    rest = list(sizes)
    for size in shape:
        factors: list[int] = []
        while prod(factors) < size:
            factors.append(rest.pop(0))
        axes.append(tuple(factors))
    return label.with_axes(tuple(axes))


def merged(units: Units, label: Label, axis: int) -> Label:
    """With an axis that has one factor at most."""
    span = label.span(axis)
    if len(span) < 2:
        return label
    labelled = [part for k in span if (part := label.ids[k]) is not None]
    ids = None
    if labelled:
        ids = max(labelled, key=lambda part: sum(part.shape[k] > 1 for k in span))
        free = [k for k in span if ids.shape[k] == 1]
        for k in free:
            label = freeze(units, label, k)
        ids = _with_own_for_each(units, ids, free, label.sizes)
    shape = label.axes[axis]
    size = prod(shape)
    first, end = span.start, span.stop
    parts: list[Ids | None] = []
    for k, part in enumerate(label.ids):
        new = ids if k in span else part
        if new is not None:
            if any(new.shape[j] > 1 for j in span):
                wide = new.shape[:first] + shape + new.shape[end:]
                new = np.broadcast_to(new, wide).reshape(*wide[:first], size, *wide[end:])
            else:
                new = new.reshape(*new.shape[:first], 1, *new.shape[end:])
        if k not in span or k == first:
            parts.append(new)
    axes = list(label.axes)
    axes[axis] = (size,)
    return _with_ids(label.with_axes(tuple(axes)), parts)


def _with_own_for_each(units: Units, ids: Ids, factors: list[int], sizes: list[int]) -> Ids:
    """Units that are other ones for each index of these factors, told apart by it: a channel's
    pixels, each a part of the channel."""
    for k in factors:
        shape = list(ids.shape)
        shape[k] = sizes[k]
        own = units.new(tuple(shape))
        units.put_into(own, ids)
        units.tell_apart(own, _along(np.arange(sizes[k]), k, own.ndim))
        ids = own
    return ids


def taken(units: Units, label: Label, axis: int, indices: Sequence[int]) -> Label:
    """Of some of an axis's indices, in this order. What is taken is told apart from what is not."""
    label = merged(units, label, axis)
    if not len(label.span(axis)):
        size = len(indices)
        return label if size == 1 else label.with_factor(axis, size, None)
    (factor,) = label.span(axis)
    is_taken = np.zeros(label.sizes[factor], np.int64)
    is_taken[list(indices)] = 1
    known = label.ids[factor]
    if known is not None:
        units.bend(known)
    parts: list[Ids | None] = []
    for ids in label.ids:
        new = ids
        if ids is not None and ids.shape[factor] > 1:
            units.tell_apart(ids, _along(is_taken, factor, ids.ndim))
            new = ids.take(list(indices), factor)
        parts.append(new)
    axes = list(label.axes)
    axes[axis] = (len(indices),)
    if len(indices) == 1:
        del parts[factor]
        parts = [None if ids is None else ids.squeeze(factor) for ids in parts]
        axes[axis] = ()
    return _with_ids(label.with_axes(tuple(axes)), parts)


def _along(values: Ids, axis: int, ndim: int) -> Ids:
    """Values [size] along one axis of an array of so many."""
    shape = [1] * ndim
    shape[axis] = len(values)
    return values.reshape(shape)


def _with_ids(label: Label, ids: Sequence[Ids | None]) -> Label:
    return Label(label.axes, tuple(ids), label.parameter, label.scaled_by, label.is_square)
