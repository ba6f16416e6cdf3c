"""What an operation does to the labels of channels; None where it is used in a way that is not
known.

A rule is given the labels, the outcome [b, C, …] and the operation's own arguments, by their names.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import TypeAlias

from torch import Tensor

from sgdtheory.paths.channel_labels import (
    ChannelLabels,
    Label,
    Units,
    length_of,
    tensors_in,
    unify,
)

# (labels, outcome, the operation's own arguments) → label of the outcome
Rule: TypeAlias = Callable[..., Label | None]


def keep(labels: ChannelLabels, out: Tensor, x: Tensor, *_: object, **__: object) -> Label | None:
    """Each channel of x [b, C, …] by itself, or all of them alike."""
    if labels.is_labelled(x) and out.shape[:2] == x.shape[:2]:
        return labels.channels(x)
    return None


def _linear(
    labels: ChannelLabels, out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Label | None:
    is_known = labels.is_parameter(weight) and labels.is_labelled(input)
    if not is_known or input.ndim != 2:
        return None
    labels.parameter(weight, 1, labels.channels(input))
    units = labels.parameter(weight, 0)
    if bias is None:
        return units
    return labels.parameter(bias, 0, units)


def _convolution(
    labels: ChannelLabels,
    out: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *settings: int,
    groups: int = 1,
) -> Label | None:
    if len(settings) > 3:
        _stride, _padding, _dilation, groups = settings
    is_known = labels.is_parameter(weight) and labels.is_labelled(input)
    if not is_known or groups not in (1, input.shape[1]):
        return None
    channels = labels.channels(input)
    if groups == 1:
        labels.parameter(weight, 1, channels)
        units = labels.parameter(weight, 0)
    else:  # depthwise: each channel makes its own few
        made = out.shape[1] // groups
        outputs = [(units, block * made) for units, block in channels]
        units = labels.parameter(weight, 0, outputs)
    if bias is None:
        return units
    return labels.parameter(bias, 0, units)


def _batch_norm(
    labels: ChannelLabels,
    out: Tensor,
    input: Tensor,
    *_: object,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    **__: object,
) -> Label | None:
    label = keep(labels, out, input)
    for parameter in (weight, bias):
        if parameter is not None and label is not None:
            labels.parameter(parameter, 0, label)
    return label


def _combine(
    labels: ChannelLabels, out: Tensor, *operands: object, **named: object
) -> Label | None:
    """Sum or product, channel by channel: the same units on both sides, unless one side is equal
    for all channels."""
    tensors = list(tensors_in([*operands, *named.values()]))
    candidates: list[Label] = []
    for x in tensors:
        axis = _channel_axis(out, x)
        if labels.is_labelled(x) and axis != 1:
            return None
        if labels.is_labelled(x) or (axis >= 0 and x.shape[axis] > 1):
            candidates.append(_label_of_operand(labels, x, axis))
    alike = [label for label in candidates if length_of(label) == out.shape[1]]
    for label in alike[1:]:
        unify(alike[0], label)
    has_label = any(map(labels.is_labelled, tensors))
    if alike and has_label:
        return alike[0]
    return None


def _channel_axis(out: Tensor, x: Tensor) -> int:
    """Where the channels of the outcome [b, C, …] are in an operand, which is broadcast from the
    right."""
    return 1 - out.ndim + x.ndim


def _label_of_operand(labels: ChannelLabels, x: Tensor, axis: int) -> Label:
    if labels.is_labelled(x):
        return labels.channels(x)
    if labels.is_parameter(x):
        return labels.parameter(x, axis)
    return labels.channels(x.transpose(0, axis)[None])


def _cat(
    labels: ChannelLabels, out: Tensor, tensors: Sequence[Tensor], dim: int = 0
) -> Label | None:
    if dim not in (1, 1 - out.ndim) or any(map(labels.is_parameter, tensors)):
        return None
    label: Label = []
    for x in tensors:
        label += labels.channels(x)
    return label


def _flatten(
    labels: ChannelLabels, out: Tensor, x: Tensor, *_: object, **__: object
) -> Label | None:
    """[b, C, H, W] → [b, C·H·W]: H·W indices a channel. Or a new shape behind the channels, which
    they do not notice."""
    is_flat = out.ndim == 2 and out.shape[0] == x.shape[0]
    if is_flat and labels.is_labelled(x):
        pixels = prod(x.shape[2:])
        return [(units, block * pixels) for units, block in labels.channels(x)]
    return keep(labels, out, x)


def _reduce(
    labels: ChannelLabels,
    out: Tensor,
    x: Tensor,
    dim: int | Sequence[int] = (),
    *_: object,
    **__: object,
) -> Label | None:
    """Over pixels, never over channels or examples."""
    if isinstance(dim, int):
        dim = [dim]
    axes = [axis % x.ndim for axis in dim]
    if axes and min(axes) > 1:
        return keep(labels, out, x)
    return None


def _index(labels: ChannelLabels, out: Tensor, x: Tensor, index: object) -> Label | None:
    """Some of the pixels of all channels."""
    places: tuple[object, ...] = (index,)
    if isinstance(index, tuple):
        places = index
    from_the_right = places[0] is ... and len(places) < x.ndim
    has_all_channels = places[:2] == (slice(None), slice(None))
    if from_the_right or has_all_channels:
        return keep(labels, out, x)
    return None


def _pad(
    labels: ChannelLabels,
    out: Tensor,
    input: Tensor,
    pad: Sequence[int],
    mode: str = "constant",
    value: object = None,
) -> Label | None:
    """New pixels, new channels too: these are all equal, so any order of them is as good."""
    none = [0] * (2 * input.ndim - len(pad))
    # after, before of the examples, then of the channels
    *of_examples, after, before = [*pad, *none][::-1][:4]
    if not labels.is_labelled(input) or any(of_examples) or min(after, before) < 0:
        return None
    has_new_channels = after > 0 or before > 0
    if has_new_channels and mode != "constant":
        return None
    first: Label = []
    if before:
        first = [(Units(before), 1)]
    last: Label = []
    if after:
        last = [(Units(after), 1)]
    return [*first, *labels.channels(input), *last]


POINTWISE = """
relu relu6 hardtanh leaky_relu elu celu selu gelu silu mish tanh sigmoid hardsigmoid hardswish
softplus logsigmoid abs exp log neg square sqrt clamp clamp_min dropout alpha_dropout
feature_dropout dropout1d dropout2d dropout3d softmax log_softmax max_pool1d max_pool2d
max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d interpolate
contiguous clone detach float double to squeeze
"""
COMBINING = "add iadd radd sub isub rsub mul imul rmul div truediv itruediv pow maximum minimum"

RULES: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE.split(), keep),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(COMBINING.split(), _combine),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduce),
    **dict.fromkeys(("flatten", "view", "reshape"), _flatten),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "getitem": _index,
    "pad": _pad,
}
