"""Langevin dynamics as another way for the one loop to make its step, and a spring that holds it
where it begins."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat
from sgdtheory.errors import UserError
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Cloud
from sgdtheory.rng import stream


@dataclass(frozen=True)
class Langevin(SGD):
    """Samples of e^{−L/T}, L what g is the gradient of, by Langevin dynamics with inertia (BAOAB;
    Leimkuhler & Matthews 2013, 10.1093/amrx/abs010).

    u ← u − √(2η/T)·g, θ ← θ + √(ηT/2)·u, u ← au + √(1 − a²)·ξ, θ ← θ + √(ηT/2)·u, ξ white and a the
    `momentum`; without it θ ← θ − ηg + √(2ηT)·½(ξ_t + ξ_{t+1}). θ has no error of first order in η;
    on a quadratic none at all, at any ηh < 2, where plain noise makes a variance 1/(1 − ½ηh) times
    too large. A direction of curvature h is forgotten in 1/ηh steps without momentum, in about
    1/√(ηh) where a is about 1 − 2√(2ηh). The velocity [P, n] holds u, of variance 1. Every point
    has its own noise, a function of `noise_seed` and the step alone.
    """

    temperature: PositiveFloat = 1.0
    noise_seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.nesterov:
            raise UserError("Langevin: nesterov must be false")

    def init_state(self, cloud: Cloud) -> Tensor:
        return self._noise(cloud, 0)

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        """One step of the cloud [P, n] and of its velocity u [P, n], in place."""
        following = self._noise(cloud, step + 1)
        half = sqrt(rate * self.temperature / 2)  # of a step, in units of u
        if not self.momentum:
            cloud.sub_(force, alpha=rate)
            cloud.add_(velocity.add_(following), alpha=half)
            velocity.copy_(following)
            return
        velocity.sub_(force, alpha=sqrt(2 * rate / self.temperature))
        cloud.add_(velocity, alpha=half)
        velocity.mul_(self.momentum).add_(following, alpha=sqrt(1 - self.momentum**2))
        cloud.add_(velocity, alpha=half)

    def _noise(self, cloud: Cloud, step: int) -> Tensor:
        """ξ [P, n] of a step."""
        source = stream(self.noise_seed, "langevin", step)
        return torch.randn(cloud.shape, generator=source, dtype=cloud.dtype).to(cloud.device)


@dataclass(frozen=True, eq=False)
class Spring:
    """A coupling of every point to `anchor` θ* [n], ½·strength·|θ − θ*|²."""

    anchor: Tensor
    strength: float
    shared_batches: bool = False

    def project(self, cloud: Cloud) -> Cloud:
        """The cloud [P, n] as it is."""
        return cloud

    def force(self, cloud: Cloud, losses: Tensor, gradients: Tensor) -> Tensor:
        """∇L + strength·(θ − θ*), [P, n]."""
        return gradients.add(cloud - self.anchor, alpha=self.strength)
