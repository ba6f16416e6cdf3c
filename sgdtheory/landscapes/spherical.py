"""A random quadratic form on a sphere: every critical point is an eigenvector, and its index its
place among them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat
from sgdtheory.errors import UserError
from sgdtheory.landscapes.formula import Formula
from sgdtheory.rng import stream


@dataclass(frozen=True)
class Spherical(Formula):
    """½xᵀJx + ¼·wall·(|x|² − 1)²: the spherical quadratic ½xᵀJx, |x| = 1, held there by a wall
    instead of a constraint.

    J = (A + Aᵀ)/√(2k) with A Gaussian: the spherical spin glass of two-body couplings, whose J has
    a semicircle of eigenvalues λ_1 < … < λ_k between about −2 and 2. ∇ = Jx + wall·(|x|² − 1)x
    vanishes at x = ±v_j√(1 − λ_j/wall), where the energy is ½λ_j − ¼λ_j²/wall and H = J − λ_j +
    2(wall − λ_j)v_jv_jᵀ: curvatures λ_i − λ_j along the sphere, one above 0 across it. So the j-th
    lowest pair of critical points has index j − 1, as on the sphere itself, and the one other is
    the origin, with all k directions down. (½xᵀJx/|x|² has the same points, but no value at the
    origin, through which every straight line between its minima passes.)
    """

    directions: Annotated[int, Ge(2)] = 8
    wall: PositiveFloat = 10.0
    coupling_seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        highest = float(self._modes[0][-1])
        if highest >= self.wall:
            raise UserError(
                f"Spherical: wall={self.wall:g} is below the largest coupling {highest:.3g}, "
                f"and some points are gone; raise it"
            )
        super().__post_init__()

    @property
    def native_dim(self) -> int:
        return self.directions

    @cached_property
    def couplings(self) -> Tensor:
        """J [k, k], float64."""
        generator = stream(self.coupling_seed, "couplings")
        draws = torch.randn(
            self.directions, self.directions, generator=generator, dtype=torch.float64
        )
        scale = (2 * self.directions) ** 0.5
        couplings: Tensor = (draws + draws.T) / scale
        return couplings

    @cached_property
    def _modes(self) -> tuple[Tensor, Tensor]:
        """λ [k] ascending and v [k, k] in columns."""
        values, vectors = torch.linalg.eigh(self.couplings)
        return values, vectors

    def energy(self, x: Tensor) -> Tensor:
        outward = x.square().sum(1) - 1
        couplings = self.constant("couplings", x)
        coupled = 0.5 * (x @ couplings * x).sum(1)
        wall = 0.25 * self.wall * outward.square()
        return coupled + wall

    def native_critical_points(self) -> Tensor:
        """[k, k], the lowest first, one of each pair ±x."""
        values, vectors = self._modes
        radii = (1 - values / self.wall).sqrt()
        points: Tensor = vectors * radii
        return points.T.contiguous()

    def critical_points(self) -> Tensor:
        """One of each pair [k, n], the j-th with index j − 1; besides there is the origin."""
        return self.embed(self.native_critical_points())

    def critical_values(self) -> Tensor:
        """The energy at each of them [k], float64, ascending: ½λ − ¼λ²/wall."""
        values: Tensor = self._modes[0]
        return values / 2 - values.square() / (4 * self.wall)

    def native_minima(self) -> Tensor:
        lowest = self.native_critical_points()[0]
        return torch.stack([lowest, -lowest])

    def native_saddles(self) -> Tensor:
        second = self.native_critical_points()[1]
        return torch.stack([second, -second])

    def barrier(self) -> float:
        """Over the second lowest pair."""
        lowest, second = self.critical_values()[:2].tolist()
        return float(second - lowest)
