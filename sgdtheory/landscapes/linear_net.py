"""The smallest over-parametrised network: one input, one output, no activation, one connected sheet
of minima."""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.landscapes.formula import Formula


@dataclass(frozen=True)
class LinearNet(Formula):
    """½(a·b − 1)², x = (a, b), a and b ∈ R^width: the loss of x ↦ b·(a·x) on the target x ↦ x.

    Stated minima a = b = ±e₁, opposite each other. width = 1: a hyperbola of two branches, and
    every path between them passes a = 0, where the loss is ½. width ≥ 2: turning a and b together
    keeps the loss 0. With u, v = (a ± b)/√2 the minima are |u|² = 2 + |v|², so that turn, v = 0 and
    |u| = √2, is the shortest way round: π√2, against 2√2 straight through the origin, which is
    critical with index `width`, and on whose line the force never leaves the line.
    """

    width: PositiveInt = 2

    @property
    def native_dim(self) -> int:
        return 2 * self.width

    def energy(self, x: Tensor) -> Tensor:
        first = x[:, : self.width]
        second = x[:, self.width :]
        product = (first * second).sum(1)
        return 0.5 * (product - 1).square()

    def native_minima(self) -> Tensor:
        minima = torch.zeros(2, self.native_dim, dtype=torch.float64)
        minima[0, [0, self.width]] = 1.0
        return torch.stack([minima[0], -minima[0]])

    def native_saddles(self) -> Tensor:
        """The origin [1, k], where width = 1; wider none [0, k]: its index is `width` and no path
        has to pass it."""
        count = 1 if self.width == 1 else 0
        return torch.zeros(count, self.native_dim, dtype=torch.float64)

    def barrier(self) -> float:
        if self.width == 1:
            return 0.5
        return 0.0

    def length_ratio(self) -> float:
        """Of the shortest lowest path: straight over the origin, or round it."""
        if self.width == 1:
            return 1.0
        return pi / 2
