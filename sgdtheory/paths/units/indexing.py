"""What taking some of the indices of an axis does to the labels of tensors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sgdtheory.paths.units.factors import frozen_axes, taken, without_axes
from sgdtheory.paths.units.label import (
    Label,
    with_fixed_axes,
)
from sgdtheory.paths.units.labels import UnitLabels


def select(labels: UnitLabels, out: Tensor, x: Tensor, dim: int, index: int) -> Label:
    """One index of an axis of x […]."""
    dim = dim % x.ndim
    place = index % x.shape[dim]
    label = taken(labels.units, labels.of(x), dim, [place])
    axes = list(label.axes)
    del axes[dim]
    return label.with_axes(tuple(axes))


def unbind(labels: UnitLabels, out: Sequence[Tensor], x: Tensor, dim: int = 0) -> list[Label]:
    """Each index of an axis of x […]."""
    parts = []
    for index, part in enumerate(out):
        parts.append(select(labels, part, x, dim, index))
    return parts


def slice_(
    labels: UnitLabels,
    out: Tensor,
    x: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Label:
    """A range of indices of an axis of x […]."""
    dim = dim % x.ndim
    indices = range(x.shape[dim])[start:end:step]
    if len(indices) == x.shape[dim]:
        return labels.of(x)
    return taken(labels.units, labels.of(x), dim, indices)


def flip(labels: UnitLabels, out: Tensor, x: Tensor, dims: Sequence[int]) -> Label:
    """x […] with the indices of axes from the last on."""
    label = labels.of(x)
    for dim in dims:
        indices = range(x.shape[dim])
        label = taken(labels.units, label, dim % x.ndim, indices[::-1])
    return label


def roll(
    labels: UnitLabels, out: Tensor, x: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()
) -> Label | None:
    """x […] with indices moved on, the last ones to the front."""
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
    """Pieces of x […], one behind the other."""
    dim = dim % x.ndim
    start = 0
    pieces = []
    for part in out:
        end = start + part.shape[dim]
        pieces.append(slice_(labels, part, x, dim, start, end))
        start = end
    return pieces


def index_select(labels: UnitLabels, out: Tensor, x: Tensor, dim: int, index: Tensor) -> Label:
    """Some indices [k] of an axis of x […]."""
    places: list[Tensor | None] = [None] * x.ndim
    places[dim % x.ndim] = index
    return index_(labels, out, x, places)


def index_(labels: UnitLabels, out: Tensor, x: Tensor, indices: Sequence[Tensor | None]) -> Label:
    """x […] by tensors of indices […]: constant ones of one axis are followed one by one, else the
    axes' indices stay where they are."""
    given = [index for index in indices if index is not None]
    axes = [axis for axis, index in enumerate(indices) if index is not None]
    label = labels.of(x)
    if len(given) == 1 and _is_constant(labels, given[0]):
        (axis,) = axes
        places = given[0] % x.shape[axis]
        return taken(labels.units, label, axis, places.tolist())
    for index in given:
        of_index = labels.of(index)
        frozen_axes(labels.units, of_index, range(index.ndim))
    label = frozen_axes(labels.units, label, axes)
    label = without_axes(labels.units, label, axes, keep=False)
    first = axes[0]
    is_together = axes[-1] - first == len(axes) - 1
    at = first if is_together else 0
    new_axes = out.ndim - len(label.axes)
    return with_fixed_axes(label, at, tuple(out.shape[at : at + new_axes]))


def _is_constant(labels: UnitLabels, index: Tensor) -> bool:
    """Whether an index is a list of places that are the same for all inputs."""
    if index.ndim != 1 or index.dtype != torch.int64:
        return False
    return not labels.is_labelled(index)
