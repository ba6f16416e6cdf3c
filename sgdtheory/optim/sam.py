"""Sharpness-aware minimisation: steps along the gradient of the worst point nearby."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveFloat
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Batch, Cloud, Landscape, value_and_grad
from sgdtheory.statistics.measured import Measured


@dataclass(frozen=True)
class SAM(SGD):
    """SGD with the gradient at θ + ρg/|g| in the place of g, both of one mini-batch (Foret et al.
    2021, 2010.01412, Algorithm 1).

    A step costs two gradients. `rho` ρ is a distance in θ, of the whole point and not of its
    layers. What SAM comes to rest at is no minimum of the loss: T = η/2b is not its law.
    """

    rho: PositiveFloat = 0.05

    def look(
        self, landscape: Landscape, cloud: Cloud, batch: Batch | None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The losses [P] at the points of a cloud [P, n], and the gradients [P, n] at a distance of
        ρ uphill; where there is no gradient, at the point itself."""
        losses, gradients = value_and_grad(landscape, cloud, batch)
        norms = gradients.norm(dim=1, keepdim=True)
        least = torch.finfo(cloud.dtype).tiny
        uphill = cloud + self.rho * gradients / norms.clamp_min(least)
        _, gradients = value_and_grad(landscape, uphill, batch)
        return losses, gradients

    def edge(self, rate: float, gradient_norm: float) -> Measured:
        """h* = (|g|/2ρ)(√(1 + 4ρe/|g|) − 1), e SGD's own edge 2/η or 2(1+μ)/η: below it, and the
        lower the smaller the gradient (Long & Bartlett 2023, 2309.12488).

        On a quadratic SAM's gradient along g is that of the curvature h(1 + ρh/|g|), which is e at
        h*. Below e it does not diverge: |g| settles where h* is the curvature.
        """
        plain = self.edge_of_momentum(rate)
        if plain.value is None:
            return plain
        if not gradient_norm > 0:
            return Measured.nothing("there is no gradient")
        reach = gradient_norm / (2 * self.rho)
        growth = sqrt(1 + 2 * plain.value / reach) - 1
        return Measured(reach * growth)
