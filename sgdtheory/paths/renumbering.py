"""Renumberings of hidden units as such: found between two points, and composed around triangles."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.paths.symmetry import Group, Parts, Permutation, Symmetry


class Defect(NamedTuple):
    """How many of a network's hidden units a closed way of renumberings moves."""

    moved: int
    units: int

    @property
    def share(self) -> float:
        return self.moved / self.units


def renumbering_between(symmetry: Symmetry, before: Tensor, after: Tensor) -> list[Permutation]:
    """The permutation of every group [units] that turns one point [n] into another [n], to the bit.

    A unit is known by its numbers in order of size, which no renumbering of the others changes;
    units that are alike in all of them keep their order. RunError where there is no such
    renumbering, as where streams were turned.
    """
    parts = symmetry.parts(before.cpu())
    wanted = symmetry.parts(after.cpu())
    permutations = []
    for group in symmetry.groups:
        permutation = _permutation(group, parts, wanted)
        group.permute(parts, permutation)
        permutations.append(permutation)
    if not torch.equal(symmetry.vector(parts), after.cpu()):
        raise RunError("the aligned network is no renumbering of the other's units: it was turned")
    return permutations


def _permutation(group: Group, parts: Parts, wanted: Parts) -> Permutation:
    """Which unit of a point each unit of another is."""
    permutation = torch.empty(group.size, dtype=torch.int64)
    permutation[_order(group, wanted)] = torch.tensor(_order(group, parts))
    return permutation


def _order(group: Group, parts: Parts) -> list[int]:
    """The units in an order that does not depend on their numbers."""
    columns = [group.rows(slot, parts).sort(1).values for slot in group.slots]
    rows = torch.cat(columns, 1).numpy()
    names = [row.tobytes() for row in rows]
    return sorted(range(group.size), key=names.__getitem__)


def cycle_defect(
    symmetry: Symmetry,
    first: Sequence[Permutation],
    second: Sequence[Permutation],
    direct: Sequence[Permutation],
) -> Defect:
    """How many hidden units P_AC P_CB P_BA moves (Crisostomi et al. 2024, 2405.17897): `first` AB,
    `second` BC and `direct` AC renumber the units of the latter as those of the former, P_BA is
    P_AB⁻¹, so that none moves where AB after BC is AC.

    Pairwise matchings need not agree; of random ones a group of m units has m − 1 moved on average.
    """
    size = sum(shape.numel() for shape in symmetry.shapes.values())
    places = torch.arange(size, dtype=torch.float64)
    round_by_b = symmetry.apply(symmetry.apply(places, second), first)
    straight = symmetry.apply(places, direct)
    around = renumbering_between(symmetry, straight, round_by_b)
    moved = 0
    for permutation in around:
        still = torch.arange(len(permutation))
        moved += int((permutation != still).sum())
    return Defect(moved, sum(group.size for group in symmetry.groups))
