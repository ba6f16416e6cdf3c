"""A loss from outside: any function of outputs and targets."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Self

import torch
from torch import Tensor

from sgdtheory.annotations import Importable, Shape
from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError, in_a_line
from sgdtheory.losses.loss import lowest_of_constants, refuse_broadcast
from sgdtheory.losses.mse import name_of_errors, unexplained, variance_of
from sgdtheory.losses.recast import LossFunction, recast


@dataclass(frozen=True)
class Custom:
    """`factory(outputs, targets)` → [b], the loss of each example.

    The errors beside it are those of `CrossEntropy` or `MSE`, where outputs and targets are of
    their shapes, else nothing is known of them.
    """

    factory: Annotated[Callable[[Tensor, Tensor], Tensor], Importable]
    unit: str = ""
    # of the training targets, and of the outputs for one example: known when there are some
    variance: float | None = field(default=None, init=False)
    shape: Shape = field(default=(), init=False)
    _in_dtypes: dict[torch.dtype, LossFunction] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @property
    def error(self) -> str:
        return name_of_errors(self.variance)

    def adapted_to(self, outputs: Tensor, data: Examples) -> Self:
        """The loss for these data; UserError where the function does not give a number for each
        example of outputs [b, …]."""
        name = _name_of(self.factory)
        if isinstance(self.factory, type):
            made = f"{self.factory.__name__}(…)"
            raise UserError(f"{name}: a class is no loss; give what it makes, {made}")
        targets = data.train_targets[: len(outputs)]
        losses = self._tried(outputs, targets, name)
        self._tried(outputs.double(), targets, name)
        if not isinstance(losses, Tensor) or losses.shape != outputs.shape[:1]:
            raise UserError(f"{name}: {_misfit(losses, len(outputs))}")
        adapted = copy(self)
        if not data.has_classes:
            object.__setattr__(adapted, "variance", variance_of(data.train_targets))
        object.__setattr__(adapted, "shape", tuple(outputs.shape[1:]))
        return adapted

    def _tried(self, outputs: Tensor, targets: Tensor, name: str) -> object:
        """What the function gives of outputs and targets [b, …]; UserError where it fails, or its
        gradient does."""
        leaf = outputs.detach().requires_grad_(outputs.is_floating_point())
        try:
            with torch.enable_grad():
                losses = self._given(leaf, targets)
                if isinstance(losses, Tensor) and losses.requires_grad:
                    torch.autograd.grad(losses.sum(), leaf, allow_unused=True)
        except Exception as fault:
            in_double = outputs.dtype == torch.float64
            kind = ""
            hint = ""
            if in_double:
                kind = " in float64"
                hint = "; take its own tensors `.to(outputs)`"
            raise UserError(
                f"{name}: fails on outputs {list(outputs.shape)}{kind} and "
                f"targets {list(targets.shape)} ({in_a_line(fault, 100)}){hint}"
            ) from fault
        return losses.detach() if isinstance(losses, Tensor) else losses

    def _given(self, outputs: Tensor, targets: Tensor) -> object:
        """What the function gives of outputs and targets [b, …]: of copies, which it may write
        over; of one example beside itself, whose axis a `squeeze()` in it would take."""
        if targets.is_floating_point():
            targets = targets.to(outputs.dtype)
        function = self._function(outputs.dtype)
        if len(outputs) > 1:
            return function(outputs.clone(), targets.clone())
        losses = function(torch.cat([outputs, outputs]), torch.cat([targets, targets]))
        if isinstance(losses, Tensor) and losses.shape[:1] == (2,):
            return losses[:1]
        return losses

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example [P, b] from outputs [P, b, …] and targets [P or 1, b, …]."""
        refuse_broadcast(outputs, targets)
        points, examples = outputs.shape[:2]
        targets = targets.expand(points, *targets.shape[1:])
        losses = self._given(outputs.flatten(0, 1), targets.flatten(0, 1))
        if not isinstance(losses, Tensor) or losses.shape != (points * examples,):
            misfit = _misfit(losses, points * examples)
            raise UserError(f"{_name_of(self.factory)}: {misfit}")
        return losses.view(points, examples)

    def _function(self, dtype: torch.dtype) -> LossFunction:
        """The loss for outputs of a dtype, made once: its own tensors may be in another."""
        if dtype not in self._in_dtypes:
            self._in_dtypes[dtype] = recast(self.factory, dtype)
        return self._in_dtypes[dtype]

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Errors of outputs and targets [b, …], float64 [b]; NaN where nothing is known of them."""
        are_numbers = targets.is_floating_point()
        of_classes = not are_numbers and outputs.ndim == 2 and targets.ndim == 1
        of_numbers = are_numbers and outputs[0].numel() == targets[0].numel()
        if of_classes or of_numbers:
            return unexplained(outputs, targets, self.variance)
        return outputs.new_full((len(outputs),), torch.nan, dtype=torch.float64)

    def predictions(self, outputs: Tensor) -> Tensor:
        """The outputs [b, …] themselves."""
        return outputs

    def of_constant(self, targets: Tensor, outputs: int) -> float:
        """The lowest mean over targets [N, …] that is found from outputs of 0."""
        return lowest_of_constants(self.losses, targets.cpu(), self.shape)


def _name_of(function: Callable[..., object]) -> str:
    """A loss as it was given: by its module and name, or by the class that it is one of."""
    if isinstance(function, partial):
        return _name_of(function.func)
    own = getattr(function, "__qualname__", None)
    if own is None:
        return f"landscape.loss={type(function).__name__}(…)"
    return f"landscape.loss_factory={function.__module__}:{own}"


def _misfit(losses: object, count: int) -> str:
    """What is wrong with the losses of `count` examples, and what to do."""
    hint = ""
    if isinstance(losses, Tensor):
        given = str(list(losses.shape))
        if not losses.ndim:
            hint = ', no mean over them: say reduction="none"'
        elif len(losses) == count:
            hint = ", the mean over its numbers"
    else:
        given = type(losses).__name__
    return f"gives {given} for {count} examples; it must give the loss of each, [{count}]{hint}"
