"""What sums and other operations along axes do to the labels of tensors."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from sgdtheory.paths.units.factors import alike_along, frozen_axes, without_axes
from sgdtheory.paths.units.label import (
    Label,
)
from sgdtheory.paths.units.labels import UnitLabels


def reduce(
    labels: UnitLabels,
    out: Tensor | Sequence[Tensor],
    x: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *_: object,
    **__: object,
) -> Label:
    """Of x […] along axes (None: all), whose indices may be in any order: a variance, a largest
    number."""
    label = labels.of(x)
    labels.bend(label)
    return without_axes(labels.units, label, _axes(dim, x.ndim), bool(keepdim))


def sum_(
    labels: UnitLabels,
    out: Tensor,
    x: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *_: object,
    **__: object,
) -> Label:
    """A sum of x […] bends what it is over; one of squares sees it all together."""
    return _summed(labels, labels.of(x), x.ndim, dim, bool(keepdim))


def length(
    labels: UnitLabels,
    out: Tensor,
    x: Tensor,
    order: float | None = 2,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *_: object,
    **__: object,
) -> Label:
    """The Euclidean norm of x […], or another one."""
    label = replace(labels.of(x), is_square=order in (2, None))
    return _summed(labels, label, x.ndim, dim, bool(keepdim))


def _summed(
    labels: UnitLabels, label: Label, ndim: int, dim: int | Sequence[int] | None, keep: bool
) -> Label:
    is_square = label.is_square
    axes = _axes(dim, ndim)
    for axis in axes:
        for factor in label.span(axis):
            ids = label.ids[factor]
            if ids is None:
                continue
            if is_square:
                labels.units.measured[ids] = True
            else:
                labels.units.bend(ids)
    label = without_axes(labels.units, label, axes, keep)
    if is_square:
        labels.bend(label)
    return label


def _axes(dim: int | Sequence[int] | None, ndim: int) -> list[int]:
    """The axes that an operation is over; None and none are all."""
    if isinstance(dim, int):
        return [dim % ndim]
    axes = dim or range(ndim)
    return sorted({axis % ndim for axis in axes})


def spread(labels: UnitLabels, out: Tensor, x: Tensor, dim: int, *_: object, **__: object) -> Label:
    """Each number of x […] by all along an axis, in any order: softmax."""
    label = labels.of(x)
    labels.bend(label)
    return alike_along(labels.units, label, [dim % x.ndim])


def in_order(labels: UnitLabels, out: Tensor, x: Tensor, dim: int, *_: object) -> Label:
    """Of x […] along an axis whose order matters: cumulative sums."""
    label = labels.of(x)
    labels.bend(label)
    return frozen_axes(labels.units, label, [dim % x.ndim])


def triangle(labels: UnitLabels, out: Tensor, x: Tensor, *_: object) -> Label:
    """x […] with zeros above or below the diagonal of the last two axes."""
    rows = x.ndim - 2
    columns = x.ndim - 1
    return frozen_axes(labels.units, labels.of(x), [rows, columns])
