"""A deep linear network on white inputs, at a point where its layers hold no more than the rank
that they have to."""

from dataclasses import dataclass
from itertools import combinations, pairwise
from math import ceil
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.landscapes.formula import Formula


@dataclass(frozen=True)
class DeepLinear(Formula):
    """½|W_L…W_1 − A|², W_i [H_i, H_{i−1}] of `widths` H_0 … H_L, A the identity of `rank` r: half
    the mean squared error of a linear network on white inputs.

    Stated is one of its minima, the most singular one: every W_i is the identity of rank r, and 0
    elsewhere.
    """

    widths: Annotated[tuple[PositiveInt, ...], MinLen(2)] = (3, 3, 3)
    rank: NonNegativeInt = 1

    def __post_init__(self) -> None:
        narrowest = min(self.widths)
        if self.rank > narrowest:
            raise UserError(
                f"DeepLinear: rank={self.rank} does not pass through widths={list(self.widths)}; "
                f"at most {narrowest}"
            )
        super().__post_init__()

    @property
    def native_dim(self) -> int:
        return sum(before * after for before, after in pairwise(self.widths))

    def energy(self, x: Tensor) -> Tensor:
        product = torch.eye(self.widths[0], dtype=x.dtype, device=x.device)
        first = 0
        for before, after in pairwise(self.widths):
            last = first + before * after
            weights = x[:, first:last].reshape(-1, after, before)
            product = weights @ product
            first = last
        truth = self._truth(self.widths[-1], self.widths[0])
        misfit = product - truth.to(product)
        return 0.5 * misfit.square().sum((1, 2))

    def native_minima(self) -> Tensor:
        layers = []
        for before, after in pairwise(self.widths):
            layer = self._truth(after, before)
            layers.append(layer.flatten())
        return torch.cat(layers)[None]

    def _truth(self, rows: int, columns: int) -> Tensor:
        """The identity of rank r in [rows, columns], float64."""
        matrix = torch.zeros(rows, columns, dtype=torch.float64)
        ones = torch.arange(self.rank)
        matrix[ones, ones] = 1.0
        return matrix

    def learning_coefficient(self) -> float:
        """λ = ½(r(H_0 + H_L) − r²) + a(ℓ−a)/4ℓ − ¼ℓ(ℓ−1)(S/ℓ)² + ½Σ_{i<j} M_iM_j over the ℓ + 1
        narrowest layers that count, M_i = H_i − r, S = ΣM_i, a = S − (⌈S/ℓ⌉ − 1)ℓ (Aoyagi 2024,
        10.1016/j.neunet.2024.106132); ½ for each direction that the formula leaves free."""
        r = self.rank
        outer = self.widths[0] + self.widths[-1]
        regular = (r * outer - r**2) / 2
        spare = _counting(sorted(width - r for width in self.widths))
        layers = len(spare) - 1
        total = sum(spare)
        mean = total / layers
        rest = total - (ceil(mean) - 1) * layers
        pairs = sum(one * other for one, other in combinations(spare, 2))
        of_rest = rest * (layers - rest) / (4 * layers)
        of_mean = layers * (layers - 1) * mean**2 / 4
        singular = of_rest - of_mean + pairs / 2
        free = self.dim - self.native_dim
        return regular + singular + free / 2


def _counting(spare: list[int]) -> list[int]:
    """The narrowest M_i, ascending, each below S/ℓ, all others at or above it."""
    for count in range(2, len(spare) + 1):
        chosen = spare[:count]
        others = spare[count:]
        share = sum(chosen) / (count - 1)
        if max(chosen) < share and (not others or min(others) >= share):
            return chosen
    return spare[:2]  # a layer without any to spare: nothing is singular but its neighbours' frames
