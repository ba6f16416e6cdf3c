"""The Müller–Brown surface, on which saddle searches are compared: a crooked valley of three
minima."""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveFloat
from sgdtheory.landscapes.formula import Formula


@dataclass(frozen=True)
class MullerBrown(Formula):
    """V = Σ_k A_k exp(a_k(x−X_k)² + b_k(x−X_k)(y−Y_k) + c_k(y−Y_k)²) (Müller & Brown 1979, Theor.
    Chim. Acta 53, 75).

    Minima −146.69952, −108.16672, −80.76782, saddles −40.66484, −72.24894. From the first to the
    second minimum one passes both saddles and the third minimum; the barrier is the first saddle's,
    106.03467. Stationary points by Newton's method in 40 digits, rounded to float64.
    """

    # of the order of the surface's own curvatures
    stiffness: PositiveFloat = field(default=100.0, kw_only=True)

    @property
    def native_dim(self) -> int:
        return 2

    def energy(self, x: Tensor) -> Tensor:
        amplitude, a, b, c, at_x, at_y = self.constant("table", x)  # each [4]
        dx = x[:, :1] - at_x  # [P, 4]
        dy = x[:, 1:] - at_y
        exponent: Tensor = a * dx.square() + b * dx * dy + c * dy.square()
        energies: Tensor = exponent.exp() @ amplitude
        return energies

    def native_minima(self) -> Tensor:
        """[3, 2], the lowest first, then the other end of the valley, then the one between."""
        points = [
            [-0.5582236346330243, 1.4417258418046686],
            [0.6234994049308765, 0.028037758528685664],
            [-0.050010822998206056, 0.4666941048719721],
        ]
        return torch.tensor(points, dtype=torch.float64)

    def native_saddles(self) -> Tensor:
        """[2, 2], between the first and the third minimum, then the third and the second."""
        points = [
            [-0.8220015587327321, 0.6243128028148713],
            [0.212486582000662, 0.2929883251073678],
        ]
        return torch.tensor(points, dtype=torch.float64)

    def box(self) -> Tensor:
        lowest = [-1.5, -0.2]
        highest = [1.2, 2.0]
        return torch.tensor([lowest, highest], dtype=torch.float64)

    def barrier(self) -> float:
        saddle = self.native_saddles()[0]
        minimum = self.native_minima()[0]
        points = torch.stack([saddle, minimum])
        high, low = self.energy(points)
        return float(high - low)

    @cached_property
    def table(self) -> Tensor:
        """Rows A, a, b, c, X, Y, columns the four terms, [6, 4], float64."""
        rows = [
            [-200.0, -100.0, -170.0, 15.0],
            [-1.0, -1.0, -6.5, 0.7],
            [0.0, 0.0, 11.0, 0.6],
            [-10.0, -10.0, -6.5, 0.7],
            [1.0, 0.0, -0.5, -1.0],
            [0.0, 0.5, 1.5, 1.0],
        ]
        return torch.tensor(rows, dtype=torch.float64)
