"""Splitting and merging the factors of an axis, and letting them stay where they are."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, chain, pairwise
from math import prod
from operator import mul

import numpy as np

from sgdtheory.annotations import Shape
from sgdtheory.paths.units.label import Label, unlabelled
from sgdtheory.paths.units.nesting import nested
from sgdtheory.paths.units.units import FactorIds, Ids, Units


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
    for factor in _factors_of(label, axes):
        label = freeze(units, label, factor)
    return label


def frozen(units: Units, label: Label, shape: Shape) -> Label:
    """Of a tensor [*shape] that holds the same numbers, all of which stay where they are."""
    frozen_axes(units, label, range(len(label.axes)))
    return unlabelled(shape)


def alike_along(units: Units, label: Label, axes: Sequence[int]) -> Label:
    """With the units of the other axes the same for each index of these."""
    within = _factors_of(label, axes)
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


def _factors_of(label: Label, axes: Sequence[int]) -> tuple[int, ...]:
    spans = map(label.span, axes)
    return tuple(chain.from_iterable(spans))


def without_axes(units: Units, label: Label, axes: Sequence[int], keep: bool) -> Label:
    """After a sum over axes, which are of length 1 then or gone."""
    label = alike_along(units, label, axes)
    gone = _factors_of(label, axes)
    parts: list[FactorIds] = []
    for factor, ids in enumerate(label.ids):
        if factor in gone:
            continue
        if ids is not None:
            ids = ids.squeeze(gone)
        parts.append(ids)
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
    parts: list[FactorIds] = []
    for ids in label.ids:
        if ids is not None:
            ids = _reshaped(ids, factor, sizes)
        parts.append(ids)
    parts[factor : factor + 1] = nested(units, parts[factor], factor, order)
    split_axes = []
    for axis, factors in enumerate(label.axes):
        span = label.span(axis)
        sizes_of_axis = list(factors)
        if factor in span:
            place = span.index(factor)
            sizes_of_axis[place : place + 1] = sizes
        split_axes.append(tuple(sizes_of_axis))
    return _with_ids(label.with_axes(tuple(split_axes)), parts)


def _reshaped(ids: Ids, factor: int, sizes: Sequence[int]) -> Ids:
    """Units with an axis for each of the parts that a factor is split into."""
    shape = list(ids.shape)
    makes_a_difference = shape[factor] > 1
    shape[factor : factor + 1] = sizes if makes_a_difference else [1] * len(sizes)
    return ids.reshape(shape)


def refined(
    units: Units, label: Label, axis: int, sizes: Sequence[int], ranks: Sequence[int] | None = None
) -> Label:
    """With an axis in factors of these sizes, finer than its own, nested by their ranks, the
    outermost first (None: the first first)."""
    if ranks is None:
        ranks = range(len(sizes))
    factor = label.span(axis).start
    start = 0
    while start < len(sizes):
        end = start + 1
        while end < len(sizes) and prod(sizes[start:end]) < label.sizes[factor]:
            end += 1
        parts = end - start
        if parts > 1:
            own_ranks = ranks[start:end]
            order = sorted(range(parts), key=own_ranks.__getitem__)
            label = split(units, label, factor, sizes[start:end], order)
        factor += parts
        start = end
    return label


def ranks_of(label: Label, axis: int) -> list[int]:
    """How deep each factor of an axis is nested in the others, those that stay where they are
    last."""
    span = label.span(axis)
    ranks = []
    for factor in span:
        ids = label.ids[factor]
        rank = len(span)
        if ids is not None:
            rank = _depth(ids, span)
        ranks.append(rank)
    return ranks


def _depth(ids: Ids, factors: Sequence[int]) -> int:
    """Along how many factors these are other units for each index."""
    lengths = [ids.shape[factor] for factor in factors]
    return sum(length > 1 for length in lengths)


def common_factors(axes: Sequence[Shape]) -> Shape | None:
    """The coarsest factors that are finer than all of these; None where there are none."""
    strides = {1, prod(axes[0])}
    for factors in axes:
        from_last = accumulate(reversed(factors), mul)
        strides.update(from_last)
    ordered = sorted(strides, reverse=True)
    sizes = []
    for wide, narrow in pairwise(ordered):
        size, rest = divmod(wide, narrow)
        if rest:
            return None
        sizes.append(size)
    return tuple(sizes)


def viewed(units: Units, label: Label, shape: Shape) -> Label:
    """Of the same numbers as a tensor of another shape."""
    whole = tuple(label.sizes)
    target = tuple(size for size in shape if size != 1)
    sizes = common_factors([whole, target])
    if sizes is None:
        return frozen(units, label, shape)
    flat = label.with_axes((whole,))
    label = refined(units, flat, 0, sizes)
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
    of_span = [label.ids[k] for k in span]
    labelled = [ids for ids in of_span if ids is not None]
    own = None
    if labelled:
        own = max(labelled, key=lambda ids: _depth(ids, span))
        free = [k for k in span if own.shape[k] == 1]
        for k in free:
            label = freeze(units, label, k)
        own = _with_own_for_each(units, own, free, label.sizes)
    axes = list(label.axes)
    sizes = axes[axis]
    axes[axis] = (prod(sizes),)
    parts = list(label.ids)
    parts[span.start : span.stop] = [own]
    for k, ids in enumerate(parts):
        if ids is not None:
            parts[k] = _with_one_axis(ids, span, sizes)
    return _with_ids(label.with_axes(tuple(axes)), parts)


def _with_one_axis(ids: Ids, factors: range, sizes: Shape) -> Ids:
    """Units with one axis for factors of these sizes."""
    shape = list(ids.shape)
    length = 1
    if _depth(ids, factors):
        length = prod(sizes)
        shape[factors.start : factors.stop] = sizes
        ids = np.broadcast_to(ids, shape)
    shape[factors.start : factors.stop] = [length]
    return ids.reshape(shape)


def _with_own_for_each(units: Units, ids: Ids, factors: list[int], sizes: list[int]) -> Ids:
    """Units that are other ones for each index of these factors, told apart by it: a channel's
    pixels, each a part of the channel."""
    for k in factors:
        shape = list(ids.shape)
        shape[k] = sizes[k]
        own = units.new(tuple(shape))
        units.put_into(own, ids)
        indices = np.arange(sizes[k])
        units.tell_apart(own, _along(indices, k, own.ndim))
        ids = own
    return ids


def taken(units: Units, label: Label, axis: int, indices: Sequence[int]) -> Label:
    """Of some of an axis's indices, in this order. What is taken is told apart from what is not."""
    label = merged(units, label, axis)
    size = len(indices)
    if not label.axes[axis]:
        if size == 1:
            return label
        return label.with_factor(axis, size, None)
    (factor,) = label.span(axis)
    is_taken = np.zeros(label.sizes[factor], np.int64)
    is_taken[list(indices)] = 1
    known = label.ids[factor]
    if known is not None:
        units.bend(known)
    parts: list[FactorIds] = []
    for ids in label.ids:
        if ids is not None and ids.shape[factor] > 1:
            units.tell_apart(ids, _along(is_taken, factor, ids.ndim))
            ids = ids.take(list(indices), factor)
        parts.append(ids)
    axes = list(label.axes)
    axes[axis] = (size,)
    label = _with_ids(label.with_axes(tuple(axes)), parts)
    if size == 1:
        return without_axes(units, label, [axis], keep=True)
    return label


def _along(values: Ids, axis: int, ndim: int) -> Ids:
    """Values [size] along one axis of an array of so many."""
    shape = [1] * ndim
    shape[axis] = len(values)
    return values.reshape(shape)


def _with_ids(label: Label, ids: Sequence[FactorIds]) -> Label:
    return replace(label, ids=tuple(ids))
