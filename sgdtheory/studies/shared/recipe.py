"""A way to train a network whose batch size a study sets."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import nn

from sgdtheory.annotations import NonNegative, PositiveFloat, PositiveInt
from sgdtheory.optim.sgd import SGD
from sgdtheory.roles.examples import NetworkLandscape


@dataclass(frozen=True)
class Recipe:
    """`sgd` on a network of these layers, its batch size set by the study.

    `epochs`: that many of them instead of `sgd.steps`, and no descent to an equal loss afterwards.
    `weight_decay`: λ while `sgd` runs; all that is measured is the loss without it. `rescale` α:
    the small batches' minima are replaced by others with the same function, first layer × α,
    weights of the second / α, which a ReLU between them does not notice.
    """

    sgd: SGD
    hidden: tuple[PositiveInt, ...] = (32, 32)
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    weight_decay: NonNegative = 0.0
    epochs: PositiveFloat | None = None
    rescale: PositiveFloat | None = None

    def landscape(
        self,
        network: Callable[..., NetworkLandscape],
        model: Callable[..., nn.Module],
        weight_decay: float,
    ) -> NetworkLandscape:
        """The network of this recipe, its layers included."""
        shaped = partial(model, hidden=self.hidden, activation=self.activation)
        return network(model=shaped, weight_decay=weight_decay)

    def optimiser(self, batch_size: int, count: int) -> SGD:
        """`sgd` at this batch size, on `count` examples."""
        steps = self.sgd.length
        if self.epochs is not None:
            steps = max(1, round(self.epochs * count / batch_size))
        return replace(self.sgd, batch_size=batch_size, steps=steps)
