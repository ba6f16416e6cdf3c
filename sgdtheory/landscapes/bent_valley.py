"""A double well along a bent valley: the straight line between its minima leaves the valley and
climbs the wall."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveFloat
from sgdtheory.landscapes.formula import Formula


@dataclass(frozen=True)
class BentValley(Formula):
    """V = wall·(y − g(x))² + height·(x² − 1)², g = bend·x²; minima (±1, bend), saddle (0, 0),
    barrier `height`.

    V ≥ height·(x² − 1)², so no path across x = 0 stays lower, and the valley floor y = g(x) climbs
    just so high. The straight line climbs wall·bend² higher. Force along the floor is (−W′(x), 0),
    not tangent to it: the path of steepest descent from the saddle lags behind the bend, and its
    length is known only as wall → ∞.
    """

    wall: PositiveFloat = 2.0
    height: PositiveFloat = 0.25
    bend: float = 1.0

    @property
    def native_dim(self) -> int:
        return 2

    def energy(self, x: Tensor) -> Tensor:
        along = x[:, 0].square()
        across = x[:, 1] - self.bend * along
        wall = self.wall * across.square()
        return wall + self.height * (along - 1).square()

    def native_minima(self) -> Tensor:
        return torch.tensor([[-1.0, self.bend], [1.0, self.bend]], dtype=torch.float64)

    def native_saddles(self) -> Tensor:
        return torch.zeros(1, 2, dtype=torch.float64)

    def barrier(self) -> float:
        return self.height
