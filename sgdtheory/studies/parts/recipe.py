"""One way to train with small and with large batches: a row of `small_batch_flat_minima`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from torch import nn

from sgdtheory.kinds import Count, NonNegative, Positive
from sgdtheory.landscape import Cloud
from sgdtheory.sgd import SGD


@dataclass(frozen=True)
class Recipe:
    """`sgd` on a network of these layers, its batch size set by the study.

    `epochs`: that many of them instead of `sgd.steps`, and no descent to an equal loss afterwards. `weight_decay`: λ while
    `sgd` runs; all that is measured is the loss without it. `rescale` α: the small batches' minima are shown elsewhere on the
    same function, first layer × α, weights of the second / α, which a ReLU between them does not notice.
    """

    sgd: SGD
    hidden: tuple[Count, ...] = (32, 32)
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    weight_decay: NonNegative = 0.0
    epochs: Positive | None = None
    rescale: Positive | None = None

    def landscape(self, network: Callable[..., Any], model: Callable[..., nn.Module], weight_decay: float) -> Any:
        shaped = partial(model, hidden=self.hidden, activation=self.activation)
        return network(model=shaped, weight_decay=weight_decay)

    def optimiser(self, batch_size: int, count: int) -> SGD:
        """`sgd` at this batch size, on `count` examples."""
        steps = self.sgd.steps if self.epochs is None else max(1, round(self.epochs * count / batch_size))
        return replace(self.sgd, batch_size=batch_size, steps=steps)


def rescaled(landscape: Any, cloud: Cloud, factor: float) -> Cloud:
    """The same functions (σ(αx) = ασ(x) for a ReLU) at other points [P, n]: Dinh et al. 2017, 1703.04933, 5.2."""
    weight, bias, following, *_ = (shape.numel() for shape in landscape.shapes.values())
    moved = cloud.clone()
    moved[:, : weight + bias] *= factor
    moved[:, weight + bias : weight + bias + following] /= factor
    return moved
