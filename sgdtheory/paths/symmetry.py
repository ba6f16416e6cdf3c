"""The changes of hidden units that leave a network's function unchanged: they may be renumbered,
and in some networks turned.

Rows of the weights before, and columns of the weights after, move together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

SMALLEST = 1e-6  # of the largest scale: smaller ones are not divided by

Permutation: TypeAlias = Tensor  # int64 [units]: new unit i is old unit permutation[i]
Parts: TypeAlias = dict[str, Tensor]  # parameters by name


class Slot(NamedTuple):
    """Where the units of a group stand along one axis of one parameter: the indices of each, in an
    order that is the same for all."""

    name: str
    axis: int
    places: Tensor  # int64 [units, indices a unit]


class Group(NamedTuple):
    """Units that may be renumbered, and every place where the new numbers must be used. `inside`:
    the numbers of the groups that they move along with, as a head's dimensions with the heads."""

    size: int
    slots: tuple[Slot, ...]
    inside: frozenset[int] = frozenset()

    def rows(self, slot: Slot, parts: Parts) -> Tensor:
        """What belongs to each unit at one slot, [units, numbers]."""
        places = slot.places.flatten()
        taken = parts[slot.name].index_select(slot.axis, places)
        return taken.movedim(slot.axis, 0).reshape(self.size, -1)

    def permute(self, parts: Parts, permutation: Permutation) -> None:
        """Renumber the units in place, by a permutation [units]."""
        for name, axis, places in self.slots:
            part = parts[name]
            from_places = places[permutation].flatten().to(part.device)
            to_places = places.flatten().to(part.device)
            moved = part.index_select(axis, from_places)
            part.index_copy_(axis, to_places, moved)

    def turn(self, parts: Parts, rotation: Tensor) -> None:
        """Take new units, in place, that are sums of the old ones: an orthogonal matrix [units,
        units]."""
        for name, axis, places in self.slots:
            part = parts[name]
            to_places = places.flatten()
            old = part.index_select(axis, to_places)
            new = torch.tensordot(rotation.to(old), old, ([1], [axis])).movedim(0, axis)
            part.index_copy_(axis, to_places, new)

    def sort(self, part: Tensor, slot: Slot) -> None:
        """Sort the units of a parameter [outputs, inputs, …] by value, in place, for each of their
        indices and for each place along the other axes alone."""
        places = slot.places.flatten()
        units = part.index_select(slot.axis, places)
        ordered = units.unflatten(slot.axis, tuple(slot.places.shape)).sort(slot.axis).values
        part.index_copy_(slot.axis, places, ordered.flatten(slot.axis, slot.axis + 1))

    def level(self, part: Tensor, slot: Slot) -> None:
        """Let all units of a parameter [outputs, inputs, …] have their Euclidean norm, in place,
        for each place along the other axes alone: what no rotation of them can change."""
        places = slot.places.flatten()
        units = part.index_select(slot.axis, places)
        norms = units.norm(dim=slot.axis, keepdim=True)
        part.index_copy_(slot.axis, places, norms.expand_as(units).contiguous())


class Scale(NamedTuple):
    """A parameter [units] that multiplies units, and the axes [units] that alone read them then."""

    name: str
    readers: tuple[tuple[str, int], ...]

    def multiply(self, parts: Parts, factors: Tensor) -> None:
        """Multiply the readers by factors [units], in place."""
        for name, axis in self.readers:
            shape = [1] * parts[name].ndim
            shape[axis] = -1
            parts[name].mul_(factors.view(shape))


class Turnable(NamedTuple):
    """Units that may be turned by any orthogonal matrix once these scales are 1: a group without
    the scales, and its number among all groups."""

    number: int
    group: Group
    scales: tuple[Scale, ...]


@dataclass(frozen=True)
class Symmetry:
    """The permutations and rotations of hidden units that leave a network's function unchanged,
    norms included.

    θ [n] is the flat vector of all parameters in the module's own order; `shapes` are theirs by
    name. Groups of the parts of a unit, the dimensions inside of a head, come after those of their
    wholes. `turnable` are streams that nothing but an RMS norm looks at: each is a group too.
    """

    shapes: dict[str, torch.Size]
    groups: tuple[Group, ...]
    turnable: tuple[Turnable, ...] = ()

    def parts(self, theta: Tensor) -> Parts:
        """A copy of θ [n], by parameter."""
        sizes = [shape.numel() for shape in self.shapes.values()]
        copy = theta.detach().clone()
        parts = {}
        for name, part in zip(self.shapes, copy.split(sizes), strict=True):
            parts[name] = part.view(self.shapes[name])
        return parts

    def vector(self, parts: Parts) -> Tensor:
        """θ [n] of all parameters."""
        flat = [parts[name].flatten() for name in self.shapes]
        return torch.cat(flat)

    def apply(self, theta: Tensor, permutations: Sequence[Permutation]) -> Tensor:
        """θ [n] with the units of every group renumbered, by a permutation [units] each: another
        point of the same function."""
        parts = self.parts(theta)
        for group, permutation in zip(self.groups, permutations, strict=True):
            group.permute(parts, permutation)
        return self.vector(parts)

    def random(self, stream: torch.Generator) -> list[Permutation]:
        """One permutation of every group, uniformly drawn."""
        return [torch.randperm(group.size, generator=stream) for group in self.groups]

    def turned(self, theta: Tensor, rotations: Sequence[Tensor]) -> Tensor:
        """θ [n] with the units of every turnable stream turned, by an orthogonal matrix [units,
        units] each, and their scales 1: another point of the same function."""
        parts = self.parts(self.folded(theta))
        for turnable, rotation in zip(self.turnable, rotations, strict=True):
            turnable.group.turn(parts, rotation)
        return self.vector(parts)

    def folded(self, theta: Tensor) -> Tensor:
        """θ [n] with the scales γ of turnable streams taken into the weights that read them,
        W ← W diag(γ), γ ← 1: the same function to rounding."""
        parts = self.parts(theta)
        for scale in self._scales():
            scale.multiply(parts, parts[scale.name])
            parts[scale.name].fill_(1)
        return self.vector(parts)

    def unfolded(self, theta: Tensor, like: Tensor) -> Tensor:
        """θ [n] of scales 1 with those of another point `like` [n], W ← W diag(1/γ), where these
        are not too small to divide by: the same function to rounding."""
        parts = self.parts(theta)
        others = self.parts(like.to(theta))
        for scale in self._scales():
            wanted = others[scale.name]
            least = SMALLEST * wanted.abs().max()
            factors = torch.where(wanted.abs() > least, wanted, 1.0)
            scale.multiply(parts, 1 / factors)
            parts[scale.name].copy_(factors)
        return self.vector(parts)

    def _scales(self) -> list[Scale]:
        scales: list[Scale] = []
        for turnable in self.turnable:
            scales += turnable.scales
        return scales
