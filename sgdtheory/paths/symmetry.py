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
        taken = self._narrowed(parts[slot.name], slot)
        return taken.movedim(slot.axis, 0).reshape(self.size, -1)

    def _narrowed(self, part: Tensor, slot: Slot) -> Tensor:
        """What of a parameter [outputs, inputs, …] belongs to the units, a view."""
        return part.narrow(slot.axis, slot.start, self.size * slot.block)

    def permute(self, parts: Parts, permutation: Permutation) -> None:
        """Renumber the units in place, by a permutation [units]."""
        for slot in self.slots:
            part = parts[slot.name]
            offsets = torch.arange(slot.block)
            places = permutation[:, None] * slot.block + offsets
            index = places.flatten() + slot.start  # [units · block]
            renumbered = part.index_select(slot.axis, index.to(part.device))
            self._narrowed(part, slot).copy_(renumbered)

    def sort(self, part: Tensor, slot: Slot) -> None:
        """Sort the units of a parameter [outputs, inputs, …] by value, in place, for each of their
        block and for each place along the other axes alone."""
        taken = self._narrowed(part, slot)
        units = taken.unflatten(slot.axis, (self.size, slot.block))
        ordered = units.sort(slot.axis).values
        taken.copy_(ordered.flatten(slot.axis, slot.axis + 1))


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
        copy = theta.detach().clone()
        parts = {}
        for name, part in zip(self.shapes, copy.split(sizes), strict=True):
            parts[name] = part.view(self.shapes[name])
        return parts

    def apply(self, theta: Tensor, permutations: Sequence[Permutation]) -> Tensor:
        """θ [n] with the units of every group renumbered, by a permutation [units] each: another
        point of the same function."""
        parts = self.parts(theta)
        for group, permutation in zip(self.groups, permutations, strict=True):
            group.permute(parts, permutation)
        flat = [part.flatten() for part in parts.values()]
        return torch.cat(flat)

    def identity(self) -> list[Permutation]:
        return [torch.arange(group.size) for group in self.groups]

    def random(self, stream: torch.Generator) -> list[Permutation]:
        """One permutation of every group, uniformly drawn."""
        return [torch.randperm(group.size, generator=stream) for group in self.groups]
