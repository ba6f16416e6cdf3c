"""What operations that only lay numbers out anew do to the labels of tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sgdtheory.annotations import Shape
from sgdtheory.paths.units.factors import viewed
from sgdtheory.paths.units.label import (
    Label,
)
from sgdtheory.paths.units.labels import UnitLabels
from sgdtheory.paths.units.layers import together


def same(labels: UnitLabels, out: Tensor, x: Tensor, *_: object, **__: object) -> Label:
    """x […] as it is."""
    return labels.of(x)


def view(labels: UnitLabels, out: Tensor, x: Tensor, *_: object) -> Label | None:
    """The numbers of x […] in the same order, in another shape."""
    if out.numel() != x.numel():
        return None
    return viewed(labels.units, labels.of(x), tuple(out.shape))


def restride(labels: UnitLabels, out: Tensor, x: Tensor, *_: object) -> Label | None:
    """The numbers of x […] at the same places, laid out otherwise in memory."""
    if out.shape == x.shape and torch.equal(out, x):
        return labels.of(x)
    return None


def permute(labels: UnitLabels, out: Tensor, x: Tensor, dims: Sequence[int]) -> Label:
    """x […] with its axes in another order."""
    order = tuple(dim % x.ndim for dim in dims)
    return labels.of(x).permuted(order)


def transpose(
    labels: UnitLabels, out: Tensor, x: Tensor, first: int = -1, second: int = -2
) -> Label:
    """x […] with two axes exchanged."""
    order = list(range(x.ndim))
    if x.ndim > 1:
        first = order[first]
        second = order[second]
        order[first] = second
        order[second] = first
    return labels.of(x).permuted(tuple(order))


def expand(labels: UnitLabels, out: Tensor, x: Tensor, *_: object, **__: object) -> Label:
    """Copies of x […] along an axis of length 1: they may be in any order, another one for each
    unit."""
    label = labels.of(x)
    new_axes = ((),) * (out.ndim - x.ndim)
    label = label.with_axes(new_axes + label.axes)
    copied: list[int] = []
    for axis, size in enumerate(out.shape):
        if size <= 1 or label.axes[axis]:
            continue
        shape = _unit_sizes(label, copied)
        copies = labels.units.new((*shape, size))
        label = label.with_factor(axis, size, copies)
        copied.append(axis)
    return label


def _unit_sizes(label: Label, copied: Sequence[int]) -> list[int]:
    """How many units each factor has: 1 where its indices stay where they are, or are copies."""
    sizes = []
    for axis in range(len(label.axes)):
        for factor in label.span(axis):
            size = 1
            if axis not in copied and label.ids[factor] is not None:
                size = label.sizes[factor]
            sizes.append(size)
    return sizes


def repeat(labels: UnitLabels, out: Tensor, x: Tensor, times: Sequence[int]) -> Label:
    """Copies of x […] along any axis, one behind the other."""
    label = labels.of(x)
    new_axes = ((),) * (len(times) - x.ndim)
    apart: list[Shape] = []
    for factors in new_axes + label.axes:
        apart += [(), factors]
    label = label.with_axes(tuple(apart))
    for axis, count in enumerate(times):
        if count != 1:
            copies = labels.units.new((count,))
            label = label.with_factor(2 * axis, count, copies)
    for axis in range(len(times)):
        label = together(label, axis)
    return label
