"""A singular minimum in its simplest form: a product of even powers."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.landscapes.formula import Formula


@dataclass(frozen=True)
class NormalCrossing(Formula):
    """Π_i x_i^{2k_i}, k the `powers`: 0 wherever one coordinate is, and the form to which every
    analytic loss can be brought near a minimum (Watanabe 2009, 10.1017/CBO9780511800474)."""

    powers: Annotated[tuple[PositiveInt, ...], MinLen(1)] = (1, 2)

    @property
    def native_dim(self) -> int:
        return len(self.powers)

    def energy(self, x: Tensor) -> Tensor:
        product = torch.ones_like(x[:, 0])
        for i, power in enumerate(self.powers):
            product = product * x[:, i].pow(2 * power)
        return product

    def native_minima(self) -> Tensor:
        """The crossing itself [1, k]."""
        return torch.zeros(1, self.native_dim, dtype=torch.float64)

    def learning_rate(self) -> float:
        """A tenth of the limit 2/h, h = 2k(2k − 1) the largest curvature of an axis in |x_i| ≤ 1:
        what is measured near the crossing, where it is flat, diverges away from it."""
        power = 2 * max(self.powers)
        return 0.2 / (power * (power - 1))

    def learning_coefficient(self) -> float:
        """λ = min_i 1/2k_i, and ½ for each direction that the formula leaves free."""
        free = self.dim - self.native_dim
        return 1 / (2 * max(self.powers)) + free / 2
