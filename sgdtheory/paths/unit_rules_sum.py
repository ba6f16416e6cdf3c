"""What sums, norms and other operations along axes do to the labels of tensors."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from sgdtheory.paths.unit_factors import (
    alike_along,
    frozen_axes,
    taken,
    viewed,
    without_axes,
)
from sgdtheory.paths.unit_join import Operand, joined
from sgdtheory.paths.unit_label import Label, Rule
from sgdtheory.paths.unit_labels import UnitLabels
from sgdtheory.paths.unit_rules_shape import with_fixed_axes


def letters(count: int) -> str:
    """Names of so many axes."""
    return "".join(chr(ord("a") + k) for k in range(count))


def reduce(
    labels: UnitLabels,
    out: Tensor | Sequence[Tensor],
    x: Tensor,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *_: object,
    **__: object,
) -> Label:
    """Along axes (None: all), whose indices may be in any order: a mean, a largest number."""
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
    """A sum bends what it is over; one of squares sees it all together."""
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
    """The Euclidean norm, or another one."""
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
            if ids is not None and is_square:
                labels.units.measured[ids] = True
            elif ids is not None:
                labels.units.bend(ids)
    label = without_axes(labels.units, label, axes, keep)
    if is_square:
        labels.bend(label)
    return label


def _axes(dim: int | Sequence[int] | None, ndim: int) -> list[int]:
    """The axes that an operation is over; None and none are all."""
    axes = [dim] if isinstance(dim, int) else list(dim or range(ndim))
    return sorted({axis % ndim for axis in axes})


def spread(labels: UnitLabels, out: Tensor, x: Tensor, dim: int, *_: object, **__: object) -> Label:
    """Each number by all along an axis, in any order: softmax."""
    label = labels.of(x)
    labels.bend(label)
    return alike_along(labels.units, label, [dim % x.ndim])


def in_order(labels: UnitLabels, out: Tensor, x: Tensor, dim: int, *_: object) -> Label:
    """Along an axis whose order matters: cumulative sums."""
    labels.bend(labels.of(x))
    return frozen_axes(labels.units, labels.of(x), [dim % x.ndim])


def triangle(labels: UnitLabels, out: Tensor, x: Tensor, *_: object) -> Label:
    """Zeros above or below the diagonal of the last two axes."""
    return frozen_axes(labels.units, labels.of(x), [x.ndim - 2, x.ndim - 1])


def pool(axes: int) -> Rule:
    """The rule of an operation over neighbours along the last `axes` axes, each channel alone."""

    def rule(labels: UnitLabels, out: object, x: Tensor, *_: object, **__: object) -> Label:
        made = out[0] if isinstance(out, tuple) else out
        assert isinstance(made, Tensor)
        labels.bend(labels.of(x))
        return over_pixels(labels, labels.of(x), axes, tuple(made.shape))

    return rule


def over_pixels(labels: UnitLabels, label: Label, axes: int, shape: tuple[int, ...]) -> Label:
    """With the last `axes` axes fixed, and as long as those of the outcome [*shape]."""
    first = len(label.axes) - axes
    pixels = range(first, len(label.axes))
    label = frozen_axes(labels.units, label, pixels)
    label = without_axes(labels.units, label, pixels, keep=False)
    return with_fixed_axes(label, first, shape[first:])


def layer_norm(
    labels: UnitLabels,
    out: object,
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *_: object,
) -> Label:
    names = letters(x.ndim)
    operands = [Operand(labels.of(x), names)]
    for part in (weight, bias):
        if part is not None:
            operands.append(Operand(labels.of(part), names[-part.ndim :]))
    label = joined(labels.units, operands, names)
    labels.bend(label)
    return alike_along(labels.units, label, range(x.ndim - len(shape), x.ndim))


def batch_norm(
    labels: UnitLabels,
    out: object,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    *_: object,
) -> Label:
    names = letters(x.ndim)
    operands = [Operand(labels.of(x), names)]
    parts = [weight, bias] if training else [weight, bias, mean, variance]
    for part in parts:
        if part is not None:
            operands.append(Operand(labels.of(part), names[1]))
    label = joined(labels.units, operands, names)
    labels.bend(label)
    return alike_along(labels.units, label, [k for k in range(x.ndim) if k != 1])


def group_norm(
    labels: UnitLabels,
    out: object,
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    examples: int,
    channels: int,
    pixels: int,
    groups: int,
    eps: float,
) -> Label:
    """Groups of channels may be renumbered whole, and channels inside of each."""
    units = labels.units
    own = (groups, channels // groups)
    label = viewed(units, labels.of(x), (x.shape[0], *own, *x.shape[2:]))
    names = letters(x.ndim + 1)
    operands = [Operand(label, names)]
    for part in (weight, bias):
        if part is not None:
            operands.append(Operand(viewed(units, labels.of(part), own), names[1:3]))
    label = joined(units, operands, names)
    labels.bend(label)
    label = alike_along(labels.units, label, range(2, x.ndim + 1))
    return together(label, 1)


def together(label: Label, axis: int) -> Label:
    """With an axis and the next as one."""
    axes = label.axes
    both = axes[axis] + axes[axis + 1]
    return label.with_axes((*axes[:axis], both, *axes[axis + 2 :]))


def halves(labels: UnitLabels, out: Tensor, x: Tensor, dim: int = -1) -> Label:
    """The first half of an axis times the sigmoid of the second."""
    dim = dim % x.ndim
    size = out.shape[dim]
    names = letters(x.ndim)
    operands = []
    for start in (0, size):
        half = taken(labels.units, labels.of(x), dim, range(start, start + size))
        operands.append(Operand(half, names))
    label = joined(labels.units, operands, names)
    labels.bend(label)
    return label
