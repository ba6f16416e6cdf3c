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
    """θ ← θ − ηg + √(2ηT)·½(ξ_t + ξ_{t+1}), ξ white: samples of e^{−L/T}, L what g is the gradient
    of (Leimkuhler & Matthews 2013, 10.1093/amrx/abs010).

    Noise that is the mean of two steps' has no error of first order in η; on a quadratic none at
    all, at any ηh < 2, where plain noise makes a variance 1/(1 − ½ηh) times too large. The velocity
    [P, n] holds ξ_t. Every point has its own noise, a function of `noise_seed` and the step alone.
    """

    temperature: PositiveFloat = 1.0
    noise_seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.momentum or self.nesterov:
            raise UserError("Langevin: momentum must be 0 and nesterov false")

    def init_state(self, cloud: Cloud) -> Tensor:
        return self._noise(cloud, 0)

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        """One step of the cloud [P, n] and of its noise ξ [P, n], in place."""
        following = self._noise(cloud, step + 1)
        cloud.sub_(force, alpha=rate)
        cloud.add_(velocity.add_(following), alpha=sqrt(rate * self.temperature / 2))
        velocity.copy_(following)

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
