"""A force that turns the cloud and is no gradient: it makes a current that the steady density does
not show."""

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.optim.sgd import Coupling
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.closed_forms import is_isotropic
from sgdtheory.roles.facts import title_of


@runtime_checkable
class Turning(Coupling, Protocol):
    """A coupling that turns a cloud, known by its strength."""

    @property
    def strength(self) -> float: ...

    def with_strength(self, strength: float) -> Self: ...

    def area_rate(self, landscape: Landscape, temperature: float) -> float:
        """How fast theory says that the stochastic area grows, per unit of time."""
        ...


@dataclass(frozen=True)
class Stirring:
    """A coupling that bends each point's gradient on its own and does not move the cloud."""

    shared_batches: ClassVar[bool] = False

    strength: float

    def with_strength(self, strength: float) -> Self:
        """The same force, stronger or weaker."""
        return replace(self, strength=strength)

    def project(self, cloud: Cloud) -> Cloud:
        """The cloud [P, n] as it is."""
        return cloud


@dataclass(frozen=True)
class Rotation(Stirring):
    """dθ = −∇L dt + w·Jθ dt, J(θ₁, θ₂) = (−θ₂, θ₁) in the plane of the first two parameters, w the
    `strength`.

    On a landscape that depends on r alone Jθ runs along the level sets, so e^{−L/D} is steady for
    every w, and the stochastic area grows at the rate w⟨r²⟩. No landscape has a curl for its
    gradient: the force is added to the gradients on their way into SGD, as couplings are.
    """

    def force(self, cloud: Cloud, losses: Tensor, gradients: Tensor) -> Tensor:
        """The gradients [P, n] less w·Jθ at each point of a cloud [P, n]."""
        return gradients - self.strength * turned(cloud)

    def area_rate(self, landscape: Landscape, temperature: float) -> float:
        """w⟨r²⟩ per unit time, with ⟨r²⟩ as stated by the landscape."""
        if not is_isotropic(landscape):
            raise UserError(f"Rotation: {title_of(landscape)} states no mean_square_radius")
        return self.strength * float(landscape.mean_square_radius(temperature))


def turned(cloud: Cloud) -> Tensor:
    """Jθ [P, n] of a cloud [P, n], zero beyond the first two parameters.

    >>> turned(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[-2.,  1.,  0.]])
    """
    rotated = torch.zeros_like(cloud)
    rotated[:, 0] = -cloud[:, 1]
    rotated[:, 1] = cloud[:, 0]
    return rotated
