"""Adam, as another way for the one loop to make its step."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sgdtheory.annotations import BelowOne, PositiveFloat
from sgdtheory.errors import UserError
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Cloud
from sgdtheory.statistics.measured import Measured


@dataclass(frozen=True)
class Adam(SGD):
    """m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², θ ← θ − η·m̂/(√ŝ + ε), x̂ = x/(1 − βᵗ) (Kingma & Ba
    2015, 1412.6980, Algorithm 1).

    β₁ is `momentum`. The learning rate must be a number, for what suits SGD is no guide here. The
    velocity [2, P, n] holds m and s. Its noise has a temperature η/2√b, not η/2b, in coordinates of
    its own (`AdamOfNoise`).
    """

    usual_steps: ClassVar[int] = 2000  # ours: a small ViT on the digits

    momentum: BelowOne = 0.9
    beta2: BelowOne = 0.999
    epsilon: PositiveFloat = 1e-8

    def __post_init__(self) -> None:
        if self.nesterov or self.learning_rate == "auto":
            raise UserError(
                "Adam: give a learning rate as a number, such as 0.001, and nesterov=false"
            )

    def init_state(self, cloud: Cloud) -> Tensor:
        return cloud.new_zeros(2, *cloud.shape)

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        """One step of the cloud [P, n] and of m and s [2, P, n], in place, by torch's own kernel,
        which goes once through memory and is wrong in silence where that is not contiguous.

        What `torch.optim` does around that kernel takes three times as long as it, on a small net.
        """
        mean, square = velocity.unbind()  # views
        points = cloud.contiguous()
        torch._fused_adamw_(
            [points],
            [force.contiguous()],
            [mean],
            [square],
            [],  # of AMSGrad
            [cloud.new_tensor(float(step + 1))],
            amsgrad=False,
            beta1=self.momentum,
            beta2=self.beta2,
            lr=rate,
            weight_decay=self.decoupled_decay,
            eps=self.epsilon,
            maximize=False,
        )
        if points is not cloud:
            cloud.copy_(points)

    def edge(self, rate: float, gradient_norm: float) -> Measured:
        """None of the Hessian itself."""
        return Measured.nothing(
            "the edge of Adam is that of the preconditioned Hessian: see preconditioned_edge"
        )

    def preconditioned_edge(self, rate: float) -> Measured:
        """The largest eigenvalue of P⁻¹H above which full-batch steps grow on a quadratic while P =
        diag(√ŝ + ε) stands still: (2+2β₁)/((1−β₁)η), 38/η at β₁ = .9 (Cohen et al. 2022,
        2207.14484), × (1 − ½ηλ) with a decoupled decay λ."""
        if not rate > 0:
            return Measured.nothing("the learning rate is 0")
        slowed = 2 - rate * self.decoupled_decay
        return Measured((1 + self.momentum) * slowed / ((1 - self.momentum) * rate))

    def preconditioner(self, state: Tensor, steps: int) -> Tensor:
        """P = √ŝ + ε [P, n] of m and s [2, P, n] after so many steps."""
        corrected = state[1] / (1 - self.beta2**steps)
        return corrected.sqrt() + self.epsilon

    @property
    def decoupled_decay(self) -> float:
        """λ of θ ← (1 − ηλ)θ before a step."""
        return 0.0


@dataclass(frozen=True)
class AdamSettings:
    """What is Adam's own, where what descends says how long and with which mini-batches."""

    learning_rate: PositiveFloat
    momentum: BelowOne
    beta2: BelowOne
    epsilon: PositiveFloat

    def of(self, sgd: SGD, learning_rate: float) -> Adam:
        """Adam in the place of SGD, at this rate."""
        return Adam(
            sgd.length,
            sgd.batch_size,
            learning_rate,
            sgd.schedule,
            self.momentum,
            sampling=sgd.sampling,
            beta2=self.beta2,
            epsilon=self.epsilon,
        )
