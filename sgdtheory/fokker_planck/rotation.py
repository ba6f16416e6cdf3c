"""A force that turns the cloud and is no gradient: a current in a steady state that does not show
it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.sgd import Coupling
from sgdtheory.roles import is_isotropic, title_of


@runtime_checkable
class Turning(Coupling, Protocol):
    """A coupling that turns a cloud, known by its strength."""

    @property
    def strength(self) -> float: ...

    def area_rate(self, landscape: Landscape, temperature: float) -> float:
        """What the stochastic area grows by in a unit of time, in theory."""
        ...


class Stirring:
    """A coupling that bends every point's gradient by itself and leaves the cloud where it is."""

    shared_batches = False

    def project(self, cloud: Cloud) -> Cloud:
        return cloud


@dataclass(frozen=True)
class Rotation(Stirring):
    """dθ = −∇L dt + w·Jθ dt, J(θ₁, θ₂) = (−θ₂, θ₁) in the plane of the first two parameters, w the
    `strength`.

    On a landscape that depends on r alone Jθ runs along the level sets, so e^{−L/D} is steady for
    every w, and the stochastic area grows at the rate w⟨r²⟩. A curl is nobody's gradient: it bends
    the gradients on their way into SGD, as couplings do.
    """

    strength: float

    def force(self, cloud: Cloud, losses: Tensor, gradients: Tensor) -> Tensor:
        return gradients - self.strength * turned(cloud)

    def area_rate(self, landscape: Landscape, temperature: float) -> float:
        """w⟨r²⟩ per unit time, ⟨r²⟩ as the landscape states it."""
        if not is_isotropic(landscape):
            raise UserError(f"Rotation: {title_of(landscape)} states no mean_square_radius")
        return self.strength * float(landscape.mean_square_radius(temperature))


def turned(cloud: Cloud) -> Tensor:
    """Jθ [P, n], zero beyond the first two parameters."""
    found = torch.zeros_like(cloud)
    found[:, 0], found[:, 1] = -cloud[:, 1], cloud[:, 0]
    return found
