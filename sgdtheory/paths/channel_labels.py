"""Which hidden units the channels of a tensor belong to, and which of them are the same units.

Every tensor of a forward pass carries a label, a list of the units that its channels, axis 1,
belong to; every axis of a parameter has one too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn

from sgdtheory.errors import UserError
from sgdtheory.paths.symmetry import Group, Slot


@dataclass(eq=False)
class Units:
    """Channels that are interchangeable as far as is known; `now` what they were split into or
    found to be one with."""

    size: int
    free: bool = True
    now: "Label | None" = None


# an axis from its start: the units, and how many indices belong to each
Label: TypeAlias = list[tuple[Units, int]]


def resolved(label: Label) -> Label:
    """The label in units that are neither split nor joined any more."""
    entries: Label = []
    for units, block in label:
        if units.now is None:
            entries.append((units, block))
            continue
        for part, more in resolved(units.now):
            entries.append((part, block * more))
    return entries


def length_of(label: Label) -> int:
    """How many indices a label is for."""
    return sum(units.size * block for units, block in label)


def unify(first: Label, second: Label) -> None:
    """Let two axes be numbered alike from now on, splitting units where only a part of them meets
    its like."""
    while unlike := _first_difference(first, second):
        (fine, block), (coarse, wide) = sorted(unlike, key=lambda entry: entry[1])
        times, rest = divmod(wide, block)
        groups = fine.size // times
        both = min(groups, coarse.size)  # units that meet their like
        if rest or not both or fine is coarse:
            raise UserError(
                "alignment: channels are added to pixels of channels; how they may be "
                "renumbered is not known"
            )
        joint = Units(both, fine.free and coarse.free)
        fine.now = [(joint, times), *_remainder(fine, both * times)]
        coarse.now = [(joint, 1), *_remainder(coarse, both)]


def _first_difference(first: Label, second: Label) -> Label:
    """The first entries of two labels that are not the same; empty where all are."""
    pairs = zip(resolved(first), resolved(second), strict=False)
    for one, other in pairs:
        if one != other:
            return [one, other]
    return []


def _remainder(units: Units, taken: int) -> Label:
    left = units.size - taken
    if left <= 0:
        return []
    rest = Units(left, units.free)
    return [(rest, 1)]


def freeze(label: Label) -> None:
    """Let the units of a label stay where they are."""
    for units, _ in resolved(label):
        units.free = False


class ChannelLabels:
    """The labels of one forward pass over images [b, C, …]: of its tensors, and of the axes of a
    module's parameters."""

    def __init__(self, module: nn.Module, images: Tensor) -> None:
        self.names = {id(part): name for name, part in module.named_parameters()}
        channels = Units(images.shape[1], free=False)
        self.of_tensors: dict[int, Label] = {id(images): [(channels, 1)]}  # by id of a tensor
        self.of_axes: dict[tuple[str, int], Label] = {}  # by parameter and axis
        self._alive = [images]  # an id is a tensor's only as long as it lives

    def add(self, tensor: Tensor, label: Label) -> None:
        """Give a tensor [b, C, …] its label."""
        self.of_tensors[id(tensor)] = label
        self._alive.append(tensor)

    def is_labelled(self, tensor: Tensor) -> bool:
        """Whether a tensor [b, C, …] was made in this pass."""
        return id(tensor) in self.of_tensors

    def is_parameter(self, tensor: Tensor) -> bool:
        """Whether a tensor [outputs, inputs, …] is a parameter of the module."""
        return id(tensor) in self.names

    def parameter(self, parameter: Tensor, axis: int, label: Label | None = None) -> Label:
        """The label of an axis of a parameter [outputs, inputs, …]: at first new units or those
        given, later one with them."""
        key = self.names[id(parameter)], axis
        new = Units(parameter.shape[axis])
        known = self.of_axes.setdefault(key, label or [(new, 1)])
        if label is not None:
            unify(known, label)
        return known

    def channels(self, x: Tensor) -> Label:
        """The label of a tensor [b, C, …]; of a constant, interchangeable channels where these are
        equal."""
        if self.is_labelled(x):
            return self.of_tensors[id(x)]
        if x.ndim < 2:
            return [(Units(1, free=False), 1)]
        are_alike = bool((x == x[:, :1]).all())
        channels = Units(x.shape[1], free=are_alike)
        return [(channels, 1)]

    def groups(self) -> tuple[Group, ...]:
        """What may be renumbered, and where: the free units of more than one channel."""
        slots: dict[Units, list[Slot]] = {}
        for (name, axis), label in self.of_axes.items():
            start = 0
            for units, block in resolved(label):
                if units.free and units.size > 1:
                    slot = Slot(name, axis, start, block)
                    slots.setdefault(units, []).append(slot)
                start += units.size * block
        groups = [Group(units.size, tuple(places)) for units, places in slots.items()]
        return tuple(groups)


def tensors_in(values: object) -> Iterator[Tensor]:
    """All tensors […] in nested lists and tuples."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)
