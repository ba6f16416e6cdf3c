"""Adam, as another way for the one loop to make its step."""

from dataclasses import dataclass
from math import sqrt

from torch import Tensor

from sgdtheory.annotations import BelowOne, PositiveFloat
from sgdtheory.errors import UserError
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Cloud


@dataclass(frozen=True)
class Adam(SGD):
    """m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², θ ← θ − η·m̂/(√ŝ + ε), x̂ = x/(1 − βᵗ) (Kingma & Ba
    2015, 1412.6980, Algorithm 1).

    β₁ is `momentum`. The learning rate must be a number, for what suits SGD is no guide here. The
    velocity [P, 2, n] holds m and s. Its noise has no temperature η/2b: the estimators' laws are of
    SGD.
    """

    momentum: BelowOne = 0.9
    beta2: BelowOne = 0.999
    epsilon: PositiveFloat = 1e-8

    def __post_init__(self) -> None:
        if self.nesterov or self.learning_rate == "auto":
            raise UserError(
                "Adam: give a learning rate as a number, such as 0.001, and nesterov=false"
            )

    def init_state(self, cloud: Cloud) -> Tensor:
        return cloud.new_zeros(cloud.shape[0], 2, cloud.shape[1])

    def step(self, cloud: Cloud, velocity: Tensor, force: Tensor, rate: float, step: int) -> None:
        mean, square = velocity.unbind(1)  # views
        mean.mul_(self.momentum).add_(force, alpha=1 - self.momentum)
        square.mul_(self.beta2).addcmul_(force, force, value=1 - self.beta2)
        scale = square.sqrt().div_(sqrt(1 - self.beta2 ** (step + 1))).add_(self.epsilon)
        cloud.addcdiv_(mean, scale, value=-rate / (1 - self.momentum ** (step + 1)))
