"""The permutations of hidden units that leave a network's function unchanged.

Hidden units may be renumbered: rows of the weights before, and columns of the weights after, move
together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

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

    def permute(self, parts: Parts, permutation: Permutation) -> None:
        """Renumber the units in place, by a permutation [units]."""
        for name, axis, start, block in self.slots:
            part = parts[name]
            offsets = torch.arange(block)
            index = (permutation[:, None] * block + offsets).flatten() + start  # [units · block]
            renumbered = part.index_select(axis, index.to(part.device))
            part.narrow(axis, start, len(index)).copy_(renumbered)

    def sort(self, part: Tensor, slot: Slot) -> None:
        """Sort the units of a parameter [outputs, inputs, …] by value, in place, for each of their
        block and for each place along the other axes alone."""
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
        sizes = [shape.numel() for shape in self.shapes.values()]
        flat = theta.detach().clone().split(sizes)
        named = zip(self.shapes.items(), flat, strict=True)
        return {name: part.view(shape) for (name, shape), part in named}

    def apply(self, theta: Tensor, permutations: Sequence[Permutation]) -> Tensor:
        """θ [n] with the units of every group renumbered, by a permutation [units] each: another
        point of the same function."""
        parts = self.parts(theta)
        for group, permutation in zip(self.groups, permutations, strict=True):
            group.permute(parts, permutation)
        return torch.cat([part.flatten() for part in parts.values()])

    def identity(self) -> list[Permutation]:
        return [torch.arange(group.size) for group in self.groups]

    def random(self, stream: torch.Generator) -> list[Permutation]:
        """One permutation of every group, uniformly drawn."""
        return [torch.randperm(group.size, generator=stream) for group in self.groups]
