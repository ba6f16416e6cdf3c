"""Adam in the coordinates in which it is SGD, near a minimum where noise dominates."""

from dataclasses import dataclass, field, fields
from math import sqrt

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Cloud


@dataclass(frozen=True)
class AdamOfNoise(Adam):
    """Adam of θ, on a landscape of φ = sθ, s = √σ [n], σ_i² = C_ii the noise of one sample's
    gradient (landscapes/derived/rescaled.py).

    Where noise dominates √ŝ_i = σ_i/√b. Then Adam is θ ← θ − η√b·m/σ, and of φ that is heavy ball:
    v ← β₁v + g_φ, φ ← φ − η√b(1−β₁)·v. Its temperature is that of SGD, η√b(1−β₁)/2b(1−β₁) =
    η/2√b, in units in which the noise of a sample is Σσ_i (from Malladi et al. 2022, 2205.10287,
    by freezing ŝ). Of ε ≪ σ_i/√b alone: steps have it, the coordinates do not, and sweeps refuse
    one that is seen beside σ_i/√b (temperature/visible_epsilon.py).
    """

    scale: Tensor = field(default_factory=lambda: torch.ones(1), compare=False)

    @property
    def equivalent(self) -> SGD:
        return SGD(
            self.steps,
            self.batch_size,
            self.rate * self._gain,
            self.schedule,
            self.momentum,
            sampling=self.sampling,
        )

    @property
    def _gain(self) -> float:
        """The equivalent learning rate over η."""
        return sqrt(self.size) * (1 - self.momentum)

    def velocity_of(self, state: SGDState) -> Tensor:
        mean, square = state.velocity.unbind()
        first = 1 - self.momentum**state.step
        second = 1 - self.beta2**state.step
        moved = (mean / first) / ((square / second).sqrt() + self.epsilon)
        return moved * self.scale.to(moved) / self._gain

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        """One step of the cloud of φ [P, n], and of m and s of θ [2, P, n], in place."""
        scale = self.scale.to(cloud)
        theta = cloud / scale
        super().step(theta, velocity, force * scale, rate, step)
        torch.mul(theta, scale, out=cloud)


def of_noise(adam: Adam, scale: Tensor) -> AdamOfNoise:
    """The same Adam, of θ = φ/s, `scale` s [n]. UserError of one that is more than Adam, such as
    AdamW: what it does besides would be lost."""
    if type(adam) is not Adam:
        raise UserError(f"sgd: {type(adam).__name__} has no law of its noise; use sgd=adam")
    settings = {name.name: getattr(adam, name.name) for name in fields(Adam)}
    return AdamOfNoise(**settings, scale=scale)
