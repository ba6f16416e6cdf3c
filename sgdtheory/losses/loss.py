"""What a loss is: a function of outputs and targets that gives a number for each example."""

from collections.abc import Callable
from math import prod
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import Shape
from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError


@runtime_checkable
class Loss(Protocol):
    """A loss, its unit, and the errors that are shown beside it."""

    @property
    def unit(self) -> str:
        """Nats, or empty."""
        ...

    @property
    def error(self) -> str:
        """What its errors are called, as in "training error"."""
        ...

    def adapted_to(self, outputs: Tensor, data: Examples) -> Self:
        """The loss for these data; UserError where outputs [b, …] of their first b training inputs
        do not fit the targets."""
        ...

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example [P, b] from outputs [P, b, …] and targets [P or 1, b, …]."""
        ...

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Error of each example, float64 [b], from outputs [b, …] and targets [b, …]."""
        ...

    def predictions(self, outputs: Tensor) -> Tensor:
        """What outputs [b, …] say, as numbers [b, …] whose mean over networks is a prediction too:
        probabilities of classes."""
        ...

    def of_constant(self, targets: Tensor, outputs: int) -> float:
        """The mean loss over targets [N, …] of the best `outputs` numbers that are the same for
        all."""
        ...


@runtime_checkable
class StatesLowest(Protocol):
    """A loss that knows what no outputs can bring it below."""

    def lowest(self, targets: Tensor, outputs: int) -> float:
        """The least mean loss over targets [N, …] that any outputs have."""
        ...


def lowest_of(loss: Loss, targets: Tensor, outputs: int) -> float | None:
    """What a loss cannot go below for targets [N, …]; None where it does not say, or is a subclass
    with other losses than those that it is said of."""
    if not isinstance(loss, StatesLowest):
        return None
    for kind in type(loss).__mro__:
        if "lowest" in vars(kind):
            return loss.lowest(targets, outputs)
        if "losses" in vars(kind):
            return None
    return None


def refuse_broadcast(outputs: Tensor, targets: Tensor) -> None:
    """Raise UserError where outputs [P, b, …] and targets [P or 1, b, …] are of other examples, or
    of other points: one would be broadcast over the other."""
    points, examples = targets.shape[:2]
    if outputs.shape[1:2] != (examples,) or points not in (1, len(outputs)):
        raise UserError(
            f"model: gives outputs {list(outputs.shape[1:])} for {examples} examples; their first "
            f"axis must be the examples' (squeeze(-1) for squeeze())"
        )


def per_example(values: Tensor) -> Tensor:
    """The means [P, b] of values [P, b, …] over all axes of an example."""
    if values.ndim == 2:
        return values
    return values.flatten(2).mean(2)


def are_alike(outputs: Tensor, targets: Tensor) -> bool:
    """Whether outputs and targets [b, …] have the same axes, but for those of length 1, or as many
    numbers in one axis."""
    first = _long_axes(outputs)
    second = _long_axes(targets)
    is_flat = len(first) < 2 or len(second) < 2
    return first == second or (is_flat and prod(first) == prod(second))


def _long_axes(values: Tensor) -> list[int]:
    """The sizes of the axes of an example of values [b, …], but for those of length 1."""
    return [size for size in values.shape[1:] if size != 1]


def lowest_of_constants(
    losses: Callable[[Tensor, Tensor], Tensor], targets: Tensor, shape: Shape
) -> float:
    """min over c of the mean of losses(c, target), c [shape] the outputs for every target [N, …]:
    by L-BFGS from 0, the lowest where the loss is convex in the outputs."""
    from scipy.optimize import minimize  # here, because importing it costs a third of a second

    def mean_loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        c = torch.tensor(flat, dtype=torch.float64, requires_grad=True)
        outputs = c.view(1, 1, *shape).expand(1, len(targets), *shape)
        mean = losses(outputs, targets[None]).mean()
        (gradient,) = torch.autograd.grad(mean, c)
        return float(mean.detach()), gradient.numpy()

    start = np.zeros(int(np.prod(shape)))
    found = minimize(mean_loss, start, jac=True, method="L-BFGS-B")
    return float(found.fun)
