"""What norms, convolutions and attention do to the labels of tensors."""

from collections.abc import Sequence

from torch import Tensor

from sgdtheory.annotations import Shape
from sgdtheory.paths.units.factors import alike_along, frozen_axes, taken, viewed, without_axes
from sgdtheory.paths.units.join import Operand, joined
from sgdtheory.paths.units.label import Label, Rule, letters, with_fixed_axes
from sgdtheory.paths.units.labels import UnitLabels


def pool(axes: int) -> Rule:
    """The rule of an operation over neighbours along the last `axes` axes, each channel alone."""

    def rule(labels: UnitLabels, out: object, x: Tensor, *_: object, **__: object) -> Label:
        made = out[0] if isinstance(out, tuple) else out
        assert isinstance(made, Tensor)
        label = labels.of(x)
        labels.bend(label)
        return over_pixels(labels, label, axes, tuple(made.shape))

    return rule


def over_pixels(labels: UnitLabels, label: Label, axes: int, shape: Shape) -> Label:
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
    """x [b, …] minus its mean over the last axes, over its spread, times a weight and plus a bias
    [their own shape]."""
    names = letters(x.ndim)
    operands = [Operand(labels.of(x), names)]
    for part in (weight, bias):
        if part is not None:
            names_of_part = names[-part.ndim :]
            operands.append(Operand(labels.of(part), names_of_part))
    label = joined(labels.units, operands, names)
    labels.bend(label)
    first = x.ndim - len(shape)
    return alike_along(labels.units, label, range(first, x.ndim))


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
    """x [b, C, …] minus the mean of each channel, over its spread, times a weight and plus a bias
    [C]."""
    names = letters(x.ndim)
    operands = [Operand(labels.of(x), names)]
    parts = [weight, bias] if training else [weight, bias, mean, variance]
    for part in parts:
        if part is not None:
            operands.append(Operand(labels.of(part), names[1]))
    label = joined(labels.units, operands, names)
    labels.bend(label)
    examples_and_pixels = [0, *range(2, x.ndim)]
    return alike_along(labels.units, label, examples_and_pixels)


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
    """Groups of the channels of x [b, C, …] may be renumbered whole, and channels inside of
    each."""
    units = labels.units
    own = (groups, channels // groups)
    count, _, *of_pixels = x.shape
    label = viewed(units, labels.of(x), (count, *own, *of_pixels))
    names = letters(x.ndim + 1)
    operands = [Operand(label, names)]
    for part in (weight, bias):
        if part is not None:
            of_part = viewed(units, labels.of(part), own)
            operands.append(Operand(of_part, names[1:3]))
    label = joined(units, operands, names)
    labels.bend(label)
    inside = range(2, x.ndim + 1)
    label = alike_along(units, label, inside)
    return together(label, 1)


def together(label: Label, axis: int) -> Label:
    """With an axis and the next as one."""
    axes = list(label.axes)
    following = axes.pop(axis + 1)
    axes[axis] += following
    return label.with_axes(tuple(axes))


def halves(labels: UnitLabels, out: Tensor, x: Tensor, dim: int = -1) -> Label:
    """The first half of an axis of x […] times the sigmoid of the second."""
    dim = dim % x.ndim
    size = out.shape[dim]
    names = letters(x.ndim)
    operands = []
    for start in (0, size):
        indices = range(start, start + size)
        half = taken(labels.units, labels.of(x), dim, indices)
        operands.append(Operand(half, names))
    label = joined(labels.units, operands, names)
    labels.bend(label)
    return label


def convolution(
    labels: UnitLabels,
    out: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    output_padding: object,
    groups: int,
) -> Label:
    """Of x [b, C, …]. Groups of channels may be renumbered whole; those that a group reads stay in
    their order."""
    units = labels.units
    count = x.ndim - 2
    of_input = _without_pixels(labels, labels.of(x), count)
    of_weight = _without_pixels(labels, labels.of(weight), count)
    examples, channels = x.shape[:2]
    of_input = viewed(units, of_input, (examples, groups, channels // groups))
    first, second = weight.shape[:2]
    of_weight = viewed(units, of_weight, (groups, first // groups, second))
    names = "gic" if not transposed else "gci"
    if groups > 1:
        of_input = frozen_axes(units, of_input, [2])
        of_weight = frozen_axes(units, of_weight, [names.index("c")])
    operands = [Operand(of_input, "ngc"), Operand(of_weight, names)]
    if bias is not None:
        size = out.shape[1] // groups
        of_bias = viewed(units, labels.of(bias), (groups, size))
        operands.append(Operand(of_bias, "gi"))
    label = joined(units, operands, "ngi")
    label = together(label, 1)
    return with_fixed_axes(label, 2, tuple(out.shape[2:]))


def _without_pixels(labels: UnitLabels, label: Label, count: int) -> Label:
    fixed = over_pixels(labels, label, count, (1,) * len(label.axes))
    return fixed.with_axes(fixed.axes[:2])


def embedding(
    labels: UnitLabels, out: Tensor, weight: Tensor, indices: Tensor, *_: object
) -> Label:
    """Rows of a table [rows, units], which stay where they are."""
    units = labels.units
    frozen_axes(units, labels.of(indices), range(indices.ndim))
    label = frozen_axes(units, labels.of(weight), [0])
    label = without_axes(units, label, [0], keep=False)
    return with_fixed_axes(label, 0, tuple(indices.shape))


def attention(
    labels: UnitLabels,
    out: object,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *settings: object,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    **_: object,
) -> Label:
    """softmax(QKᵀ) V for each example and head, of queries, keys and values [b, heads, T, d]."""
    places = query.ndim - 2  # the axis of queries, and of keys
    lead = letters(places)
    of_query = labels.of(query)
    of_key = labels.of(key)
    of_value = labels.of(value)
    if is_causal or any(setting is True for setting in settings):
        of_query = frozen_axes(labels.units, of_query, [places])
        of_key = frozen_axes(labels.units, of_key, [places])
    operands = [
        Operand(of_query, lead + "td"),
        Operand(of_key, lead + "sd"),
        Operand(of_value, lead + "se"),
    ]
    for mask in (attn_mask, *settings):
        if isinstance(mask, Tensor):
            names = lead + "ts"
            operands.append(Operand(labels.of(mask), names[-mask.ndim :]))
    queries = lead + "t"
    return joined(labels.units, operands, queries + "e", bends=lead)
