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
        first, second = first % x.ndim, second % x.ndim
        order[first], order[second] = second, first
    return labels.of(x).permuted(tuple(order))


def expand(labels: UnitLabels, out: Tensor, x: Tensor, *_: object, **__: object) -> Label:
    """Copies of x […] along an axis of length 1: they may be in any order, another one for each
    unit."""
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
    """Copies of x […] along any axis, one behind the other."""
    label = labels.of(x)
    own = ((),) * (len(times) - x.ndim) + label.axes
    apart: list[Shape] = []
    for factors in own:
        apart += [(), factors]
    label = label.with_axes(tuple(apart))
    for axis, count in enumerate(times):
        if count != 1:
            label = label.with_factor(2 * axis, count, labels.units.new((count,)))
    pairs = zip(label.axes[::2], label.axes[1::2], strict=True)
    return label.with_axes(tuple(copies + factors for copies, factors in pairs))
