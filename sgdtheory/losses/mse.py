"""Squared distance of the outputs to the target."""

from copy import copy
from dataclasses import dataclass, field
from math import nan
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError
from sgdtheory.losses.cross_entropy import frequencies
from sgdtheory.losses.loss import are_alike, per_example, refuse_broadcast

UNEXPLAINED = "1 − R²"  # the share of a variance that is left unexplained


@dataclass(frozen=True)
class MSE:
    """|y − f|², the mean over the numbers of a target; a class is its one-hot vector.

    The error beside it is the share of the training targets' variance that is left unexplained, of
    classes whether the largest output is another one.
    """

    unit = ""
    # of the training targets: known when the data are
    variance: float | None = field(default=None, init=False)

    @property
    def error(self) -> str:
        return name_of_errors(self.variance)

    def adapted_to(self, outputs: Tensor, data: Examples) -> Self:
        """The loss that knows the training targets of `data`; UserError where outputs [b, …] do not
        fit them."""
        refuse_other_counts(outputs, data)
        if data.has_classes:
            return self
        adapted = copy(self)
        object.__setattr__(adapted, "variance", variance_of(data.train_targets))
        return adapted

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example [P, b] from outputs [P, b, …] and targets [P or 1, b, …]."""
        return per_example((outputs - beside(outputs, targets)).square())

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The unexplained share of each example, float64 [b], from outputs and targets [b, …]."""
        return unexplained(outputs, targets, self.variance)

    def predictions(self, outputs: Tensor) -> Tensor:
        """The outputs [b, …] themselves."""
        return outputs

    def of_constant(self, targets: Tensor, outputs: int) -> float:
        """The variance of targets [N, …], the mean over their numbers; of classes of frequencies p
        (1 − Σ p²)/K."""
        if targets.is_floating_point():
            return variance_of(targets)
        p = frequencies(targets, outputs)
        unpredicted = 1 - p.square().sum()
        return float(unpredicted / outputs)

    def lowest(self, targets: Tensor, outputs: int) -> float:
        """0, where outputs are their targets [N, …]."""
        return 0.0


def beside(outputs: Tensor, targets: Tensor) -> Tensor:
    """Targets [P or 1, b, …] in the shape [P or 1, b, …] and dtype of outputs [P, b, …]; a class is
    its one-hot vector."""
    refuse_broadcast(outputs, targets)
    if not targets.is_floating_point():
        targets = F.one_hot(targets, outputs.shape[-1])
    shape = (*targets.shape[:2], *outputs.shape[2:])
    return targets.to(outputs.dtype).reshape(shape)


def refuse_other_counts(outputs: Tensor, data: Examples) -> None:
    """Raise UserError where outputs [b, …] are not one number for each of a target's."""
    target = data.train_targets[0]
    if data.has_classes:
        wanted = data.outputs
        what = f"{wanted} classes"
        is_fit = target.ndim == 0 and outputs.shape[1:] == (wanted,)
    else:
        wanted = target.numel()
        of_target = list(target.shape) or "one number"
        what = f"targets of {of_target}"
        is_fit = are_alike(outputs, data.train_targets)
    if not is_fit:
        shape = list(outputs.shape)
        raise UserError(
            f"model: gives outputs {shape} for {len(outputs)} examples with {what}; they must be "
            f"{wanted} numbers an example, in the shape of the targets"
        )


def name_of_errors(variance: float | None) -> str:
    """What the errors of `unexplained` are called."""
    if variance is None:
        return "error"
    return UNEXPLAINED


def unexplained(outputs: Tensor, targets: Tensor, variance: float | None) -> Tensor:
    """|y − f|²/variance of each example, float64 [b], from outputs and targets [b, …]: its mean is
    1 − R², NaN of targets that are all alike; of classes, whether the largest output is another
    one."""
    if not targets.is_floating_point() or variance is None:
        return (outputs.argmax(-1) != targets).double()
    numbers = targets.double().reshape(len(targets), -1)
    residuals = outputs.double().reshape(len(outputs), -1) - numbers
    # targets of 0 are given to networks that put out what is to vanish: of them R² says nothing
    return residuals.square().mean(1) / (variance or nan)


def variance_of(targets: Tensor) -> float:
    """The variance over targets [N, …], the mean over the numbers of a target."""
    numbers = targets.double().reshape(len(targets), -1)
    return float(torch.var(numbers, 0, correction=0).mean())
