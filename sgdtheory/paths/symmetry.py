"""The permutations of hidden units that leave a network's function unchanged.

Hidden units may be renumbered: rows of the weights before, and columns of the weights after, move
together. Which axes of which parameters do is found by watching one forward pass: every tensor
carries a label, a list of the units its channels belong to.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from sgdtheory.errors import UserError
from sgdtheory.rng import stream as new_stream

Permutation: TypeAlias = Tensor  # int64 [units]: new unit i is old unit permutation[i]
Parts: TypeAlias = dict[str, Tensor]  # parameters by name


class Slot(NamedTuple):
    """Where the units of a group stand: `block` indices a unit, from `start` on, along one axis of
    one parameter."""

    name: str
    axis: int
    start: int
    block: int


class Group(NamedTuple):
    """Units that may be renumbered, and every place where the new numbers must be used."""

    size: int
    slots: tuple[Slot, ...]

    def rows(self, slot: Slot, parts: Parts) -> Tensor:
        """What belongs to each unit at one slot, [units, numbers]."""
        taken = parts[slot.name].narrow(slot.axis, slot.start, self.size * slot.block)
        return taken.movedim(slot.axis, 0).reshape(self.size, -1)

    def move(self, parts: Parts, permutation: Permutation) -> None:
        """Renumber the units in place."""
        for name, axis, start, block in self.slots:
            index = (
                permutation[:, None] * block + torch.arange(block)
            ).flatten() + start  # [units · block]
            part = parts[name]
            part.narrow(axis, start, len(index)).copy_(
                part.index_select(axis, index.to(part.device))
            )

    def sort(self, part: Tensor, slot: Slot) -> None:
        """Sort the units by value, in place, for each of their block and for each place along the
        other axes alone."""
        taken = part.narrow(slot.axis, slot.start, self.size * slot.block)
        units = taken.unflatten(slot.axis, (self.size, slot.block))
        taken.copy_(units.sort(slot.axis).values.flatten(slot.axis, slot.axis + 1))


@dataclass(frozen=True)
class Symmetry:
    """The permutations of hidden units that leave a network's function unchanged, batch norm
    included.

    θ [n] is the flat vector of all parameters in the module's own order; `shapes` are theirs by
    name.
    """

    shapes: dict[str, torch.Size]
    groups: tuple[Group, ...]

    def parts(self, theta: Tensor) -> Parts:
        """A copy of θ [n], by parameter."""
        flat = theta.detach().clone().split([shape.numel() for shape in self.shapes.values()])
        return {
            name: part.view(shape)
            for part, (name, shape) in zip(flat, self.shapes.items(), strict=True)
        }

    def apply(self, theta: Tensor, permutations: Sequence[Permutation]) -> Tensor:
        """θ [n] with the units of every group renumbered: another point of the same function."""
        parts = self.parts(theta)
        for group, permutation in zip(self.groups, permutations, strict=True):
            group.move(parts, permutation)
        return torch.cat([part.flatten() for part in parts.values()])

    def identity(self) -> list[Permutation]:
        return [torch.arange(group.size) for group in self.groups]

    def random(self, stream: torch.Generator) -> list[Permutation]:
        """One permutation of every group, uniformly drawn."""
        return [torch.randperm(group.size, generator=stream) for group in self.groups]


# finding the symmetry


@dataclass(eq=False)
class _Units:
    """Channels that are interchangeable as far as is known; `now` what they were split into or
    found to be one with."""

    size: int
    free: bool = True
    now: "_Label | None" = None


# an axis from its start: the units, and how many indices belong to each
_Label: TypeAlias = list[tuple[_Units, int]]


def _settled(label: _Label) -> _Label:
    """The label in units that are neither split nor joined any more."""
    found: _Label = []
    for units, block in label:
        found += (
            [(units, block)]
            if units.now is None
            else [(part, block * more) for part, more in _settled(units.now)]
        )
    return found


def _length(label: _Label) -> int:
    return sum(units.size * block for units, block in label)


def _unify(first: _Label, second: _Label) -> None:
    """Let two axes be numbered alike from now on, splitting units where only a part of them meets
    its like."""
    while True:
        unlike = next(
            (
                pair
                for pair in zip(_settled(first), _settled(second), strict=False)
                if pair[0] != pair[1]
            ),
            None,
        )
        if unlike is None:
            return
        (fine, block), (coarse, wide) = sorted(unlike, key=lambda entry: entry[1])
        times, rest = divmod(wide, block)
        both = min(fine.size // times, coarse.size)  # units that meet their like
        if rest or not both or fine is coarse:
            raise UserError(
                "alignment: channels are added to pixels of channels; how they may be "
                "renumbered is not known"
            )
        joint = _Units(both, fine.free and coarse.free)
        fine.now = [(joint, times), *_remainder(fine, both * times)]
        coarse.now = [(joint, 1), *_remainder(coarse, both)]


def _remainder(units: _Units, taken: int) -> _Label:
    return [(_Units(units.size - taken, units.free), 1)] if units.size > taken else []


def _freeze(label: _Label) -> None:
    for units, _ in _settled(label):
        units.free = False


def symmetry(module: nn.Module, shape: tuple[int, ...]) -> Symmetry:
    """The permutation symmetry of a module that maps images [b, *shape] to outputs [b, classes].

    Found by one forward pass: a linear layer's outputs are new units and its inputs those of what
    it reads; batch norm, ReLU and pooling keep the units; a sum makes two tensors' units one (all
    blocks of a residual stage share theirs); concatenation lines them up; flattening gives each
    channel a block of pixels; channels padded with zeros are units of their own, tied to what is
    added to them. Inputs and classes stay where they are. Nothing depends on how the module is
    written, only on the operations it calls; one that is not known here is a UserError that names
    it. The outcome is tried out on random weights before it is returned.
    """
    watched = deepcopy(module).cpu().double().eval()  # without dropout
    for part in watched.modules():
        if isinstance(part, _BatchNorm):
            part.train()  # whose running statistics, were they used, would have to move as well
    images = torch.randn(4, *shape, generator=new_stream(0, "alignment"), dtype=torch.float64)
    trace = _Trace(watched, images)
    with torch.no_grad(), trace:
        outputs = watched(images)
    if not isinstance(outputs, Tensor) or id(outputs) not in trace.labels:
        raise UserError(
            f"alignment: {type(module).__name__} does not return one tensor that depends on "
            f"its input"
        )
    _freeze(trace.labels[id(outputs)])
    found = Symmetry(
        {name: part.shape for name, part in watched.named_parameters()}, trace.groups()
    )
    _try_out(found, watched, images)
    return found


def _try_out(symmetry: Symmetry, module: nn.Module, images: Tensor) -> None:
    """The function must not change when every group is renumbered: what was derived is not taken on
    trust."""
    theta = torch.cat([part.detach().flatten() for part in module.parameters()])
    stream = new_stream(0, "alignment", "try")
    # batch norms start all alike
    theta = theta + 0.1 * torch.randn(theta.shape, generator=stream, dtype=theta.dtype)
    points = theta, symmetry.apply(theta, symmetry.random(stream))
    with torch.no_grad():
        before, after = (
            functional_call(module, symmetry.parts(point), (images,)) for point in points
        )
    if not (after - before).abs().max() <= 1e-6 * before.abs().max().clamp_min(1.0):
        raise UserError(
            f"alignment: renumbering the units that seem alike changes what "
            f"{type(module).__name__} computes"
        )


class _Trace(TorchFunctionMode):
    """Watches the operations of one forward pass and labels the channels, axis 1, of every tensor
    that it makes."""

    def __init__(self, module: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.names = {id(part): name for name, part in module.named_parameters()}
        # by id of a tensor
        self.labels: dict[int, _Label] = {id(images): [(_Units(images.shape[1], free=False), 1)]}
        self.axes: dict[tuple[str, int], _Label] = {}  # by parameter and axis
        self.alive = [images]  # an id is a tensor's only as long as it lives

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given = [
            x
            for x in _flat([*args, *kwargs.values()])
            if id(x) in self.labels or id(x) in self.names
        ]
        if getattr(func, "__name__", "") in ("zeros_like", "ones_like", "new_zeros", "new_ones"):
            return out  # a constant, which takes but the shape
        if given and not isinstance(
            out, bool | int | float | str | torch.Size | torch.dtype | torch.device
        ):
            name = getattr(func, "__name__", str(func))
            rule = RULES.get(name.strip("_"))
            label = (
                None
                if rule is None or not isinstance(out, Tensor)
                else rule(self, out, *args, **kwargs)
            )
            if label is None:
                what = self.names.get(
                    id(given[0]), "a tensor of shape " + "x".join(map(str, given[0].shape))
                )
                raise UserError(
                    f"alignment: it is not known how hidden units may be renumbered across "
                    f"{name!r} of {what}, as this network"
                    " uses it; a rule for it belongs in RULES of sgdtheory/paths/symmetry.py"
                )
            self.labels[id(out)] = label
            self.alive.append(out)
        return out

    def parameter(self, parameter: Tensor, axis: int, label: _Label | None = None) -> _Label:
        """The label of a parameter's axis: at first new units or those given, later one with
        them."""
        key = self.names[id(parameter)], axis
        known = self.axes.setdefault(key, label or [(_Units(parameter.shape[axis]), 1)])
        if label is not None:
            _unify(known, label)
        return known

    def channels(self, x: Tensor) -> _Label:
        """The label of a tensor; constants, of interchangeable channels where these are equal."""
        if id(x) in self.labels:
            return self.labels[id(x)]
        alike = x.ndim > 1 and bool((x == x[:, :1]).all())
        return [(_Units(x.shape[1] if x.ndim > 1 else 1, free=alike), 1)]

    def groups(self) -> tuple[Group, ...]:
        """What may be renumbered, and where: the free units of more than one channel."""
        slots: dict[_Units, list[Slot]] = {}
        for (name, axis), label in self.axes.items():
            start = 0
            for units, block in _settled(label):
                if units.free and units.size > 1:
                    slots.setdefault(units, []).append(Slot(name, axis, start, block))
                start += units.size * block
        return tuple(Group(units.size, tuple(found)) for units, found in slots.items())


def _flat(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _flat(value)


# the rules: what an operation does to the labels; None where it is used in a way that is not known


def _keep(trace: _Trace, out: Tensor, x: Tensor, *_: Any, **__: Any) -> _Label | None:
    """Each channel by itself, or all of them alike."""
    return trace.channels(x) if id(x) in trace.labels and out.shape[:2] == x.shape[:2] else None


def _linear(
    trace: _Trace, out: Tensor, input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> _Label | None:
    if id(weight) not in trace.names or id(input) not in trace.labels or input.ndim != 2:
        return None
    trace.parameter(weight, 1, trace.channels(input))
    units = trace.parameter(weight, 0)
    return units if bias is None else trace.parameter(bias, 0, units)


def _convolution(
    trace: _Trace,
    out: Tensor,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *settings: Any,
    groups: int = 1,
) -> _Label | None:
    groups = settings[3] if len(settings) > 3 else groups  # after stride, padding, dilation
    if (
        id(weight) not in trace.names
        or id(input) not in trace.labels
        or groups not in (1, input.shape[1])
    ):
        return None
    if groups == 1:
        trace.parameter(weight, 1, trace.channels(input))
        units = trace.parameter(weight, 0)
    else:  # depthwise: each channel makes its own few
        each = out.shape[1] // groups
        units = trace.parameter(
            weight, 0, [(units, block * each) for units, block in trace.channels(input)]
        )
    return units if bias is None else trace.parameter(bias, 0, units)


def _batch_norm(
    trace: _Trace,
    out: Tensor,
    input: Tensor,
    *_: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    **__: Any,
) -> _Label | None:
    label = _keep(trace, out, input)
    for parameter in (weight, bias):
        if parameter is not None and label is not None:
            trace.parameter(parameter, 0, label)
    return label


def _combine(trace: _Trace, out: Tensor, *operands: Any, **named: Any) -> _Label | None:
    """Sum or product, channel by channel: the same units on both sides, unless one side is equal
    for all channels."""
    labels = []
    tensors = list(_flat([*operands, *named.values()]))
    for x in tensors:
        # where out's channels are in x, which is broadcast from the right
        axis = 1 - out.ndim + x.ndim
        if id(x) in trace.labels:
            if axis != 1:
                return None
            labels.append(trace.channels(x))
        elif axis >= 0 and x.shape[axis] > 1:
            known = id(x) in trace.names
            labels.append(
                trace.parameter(x, axis) if known else trace.channels(x.transpose(0, axis)[None])
            )
    labels = [label for label in labels if _length(label) == out.shape[1]]
    for label in labels[1:]:
        _unify(labels[0], label)
    return labels[0] if labels and any(id(x) in trace.labels for x in tensors) else None


def _cat(trace: _Trace, out: Tensor, tensors: Sequence[Tensor], dim: int = 0) -> _Label | None:
    if dim not in (1, 1 - out.ndim) or any(id(x) in trace.names for x in tensors):
        return None
    return [entry for x in tensors for entry in trace.channels(x)]


def _flatten(trace: _Trace, out: Tensor, x: Tensor, *_: Any, **__: Any) -> _Label | None:
    """[b, C, H, W] → [b, C·H·W]: H·W indices a channel. Or a new shape behind the channels, which
    they do not notice."""
    if id(x) in trace.labels and out.ndim == 2 and out.shape[0] == x.shape[0]:
        return [(units, block * prod(x.shape[2:])) for units, block in trace.channels(x)]
    return _keep(trace, out, x)


def _reduce(
    trace: _Trace, out: Tensor, x: Tensor, dim: int | Sequence[int] = (), *_: Any, **__: Any
) -> _Label | None:
    """Over pixels, never over channels or examples."""
    axes = [axis % x.ndim for axis in ([dim] if isinstance(dim, int) else dim)]
    return _keep(trace, out, x) if axes and min(axes) > 1 else None


def _index(trace: _Trace, out: Tensor, x: Tensor, index: Any) -> _Label | None:
    """Some of the pixels of all channels."""
    index = index if isinstance(index, tuple) else (index,)
    everything = index[:2] == (slice(None), slice(None)) or (
        index[0] is ... and len(index) < x.ndim
    )
    return _keep(trace, out, x) if everything else None


def _pad(
    trace: _Trace,
    out: Tensor,
    input: Tensor,
    pad: Sequence[int],
    mode: str = "constant",
    value: Any = None,
) -> _Label | None:
    """New pixels, new channels too: these are all equal, so any order of them is as good."""
    # after, before of the examples, then of the channels
    ends = [*pad, *[0] * (2 * input.ndim - len(pad))][::-1]
    after, before = ends[2:4]
    if (
        id(input) not in trace.labels
        or any(ends[:2])
        or min(after, before) < 0
        or ((after or before) and mode != "constant")
    ):
        return None
    return [
        *([(_Units(before), 1)] if before else []),
        *trace.channels(input),
        *([(_Units(after), 1)] if after else []),
    ]


# (trace, outcome, the operation's own arguments) → label of the outcome
Rule: TypeAlias = Callable[..., _Label | None]

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
    **dict.fromkeys(POINTWISE.split(), _keep),
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
