"""A ring-shaped valley: the lowest path is a half circle, the straight line a ridge that symmetry
will not leave."""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegative, PositiveFloat
from sgdtheory.errors import UserError
from sgdtheory.landscapes.formula import Formula


@dataclass(frozen=True)
class Ring(Formula):
    """V = wall·(1 − r²)² + height·y²(2 − r²); minima (±1, 0), saddles (0, ±1), barrier `height` <
    wall.

    With y = r·sin φ this is height·sin²φ + (wall − height·sin²φ)(1 − r²)²: height·sin²φ on the ring
    r = 1, which is the lowest point of each ray. So every path between the minima, which must cross
    x = 0, climbs to `height` at least, and the half circle to exactly that. A plain sin²φ has no
    value at r = 0, where the straight line passes; this has one, V(0) = wall. On y = 0 the force
    never leaves the line: a band started there needs a nudge. With height = 0 the ring is level, V
    = wall·(1 − r²)².
    """

    wall: PositiveFloat = 1.0
    height: NonNegative = 0.25

    def __post_init__(self) -> None:
        if self.height >= self.wall:
            raise UserError(
                f"Ring: height={self.height:g} is over the wall={self.wall:g}, and the ring "
                f"no valley; lower it"
            )
        super().__post_init__()

    @property
    def native_dim(self) -> int:
        return 2

    def energy(self, x: Tensor) -> Tensor:
        squares = x.square()
        inward = 1 - squares.sum(1)  # 1 − r²
        wall = self.wall * inward.square()
        hills = self.height * squares[:, 1] * (1 + inward)
        return wall + hills

    def native_minima(self) -> Tensor:
        return torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)

    def native_saddles(self) -> Tensor:
        if self.height == 0:
            return super().native_saddles()
        return torch.tensor([[0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)

    def mean_square_radius(self, temperature: PositiveFloat) -> float:
        """⟨r²⟩ in e^{−V/D} of a level ring, D = temperature·noise: r² is Gaussian (1, D/2wall), cut
        off at 0."""
        from scipy.stats import norm  # here, because importing it costs half a second

        if self.height:
            raise UserError(
                f"Ring: ⟨r²⟩ is known for a level ring only, not height={self.height:g}; use "
                f"height=0"
            )
        diffusion = temperature * self.noise
        spread = sqrt(diffusion / (2 * self.wall))
        cut = 1 / spread
        hazard = float(norm.pdf(cut) / norm.cdf(cut))
        return 1 + spread * hazard

    def barrier(self) -> float:
        return self.height

    def length_ratio(self) -> float:
        """Half the circle over its diameter."""
        return pi / 2
