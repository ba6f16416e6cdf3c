"""How each group of hidden units is brought closest to another network's: renumbered or turned."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgdtheory.paths.symmetry import Group, Parts, Permutation, Symmetry


@dataclass(frozen=True)
class Matching:
    """The groups of a symmetry, and which of them are turned instead of renumbered."""

    symmetry: Symmetry
    groups: Sequence[Group]
    turned: frozenset[int] = frozenset()

    def change(self, number: int, parts: Parts, step: Tensor) -> None:
        """Renumber a group by a permutation [units], or turn it by a matrix [units, units], in
        place."""
        group = self.groups[number]
        if number in self.turned:
            group.turn(parts, step)
        else:
            group.permute(parts, step)

    def best(self, number: int, products: Tensor) -> tuple[Tensor, float]:
        """The change that makes the sum of the products [units wanted, units present] of units that
        meet largest, and by how much it grows."""
        if number in self.turned:
            return _rotation(products)
        step = assignment(-products)
        assigned = products[torch.arange(len(step)), step]
        return step, float(assigned.sum() - products.trace())

    def products(self, number: int, wanted: Parts, present: Parts) -> Tensor:
        """⟨wanted, present⟩ of every two units of a group, [units, units]."""
        group = self.groups[number]
        products = torch.zeros(group.size, group.size, dtype=torch.float64)
        for slot in group.slots:
            products += group.rows(slot, wanted) @ group.rows(slot, present).T
        return products

    def random(self, number: int, stream: torch.Generator) -> Tensor:
        """A change of a group, uniformly drawn: a permutation [units] or a rotation [units,
        units]."""
        size = self.groups[number].size
        if number in self.turned:
            return random_rotation(size, stream)
        return torch.randperm(size, generator=stream)


def renumbering(symmetry: Symmetry) -> Matching:
    """All groups renumbered."""
    return Matching(symmetry, symmetry.groups)


def turning(symmetry: Symmetry) -> Matching:
    """The streams turned that may be turned, once their scales are 1."""
    groups = list(symmetry.groups)
    for turnable in symmetry.turnable:
        groups[turnable.number] = turnable.group
    turned = frozenset(turnable.number for turnable in symmetry.turnable)
    return Matching(symmetry, groups, turned)


def assignment(costs: Tensor) -> Permutation:
    """For each row the column that makes the sum of costs [units, units] least."""
    from scipy.optimize import linear_sum_assignment  # here, because importing it takes its time

    _, columns = linear_sum_assignment(costs.numpy())
    return torch.from_numpy(columns)


def _rotation(products: Tensor) -> tuple[Tensor, float]:
    """The orthogonal matrix R [units, units] that makes ⟨R, products⟩ largest (Procrustes;
    Schönemann 1966), and by how much it is larger than that of the identity."""
    left, values, right = torch.linalg.svd(products)
    return left @ right, float(values.sum() - products.trace())


def random_rotation(size: int, stream: torch.Generator) -> Tensor:
    """An orthogonal matrix [size, size], uniformly drawn."""
    draws = torch.randn(size, size, generator=stream, dtype=torch.float64)
    directions, triangle = torch.linalg.qr(draws)
    rotation: Tensor = directions * triangle.diagonal().sign()
    return rotation
