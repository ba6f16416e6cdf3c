"""A loss from outside: any function of outputs and targets."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Annotated, Self

import torch
from torch import Tensor

from sgdtheory.annotations import Importable, Shape
from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError, in_a_line
from sgdtheory.losses.loss import lowest_of_constants
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
        own = getattr(self.factory, "__qualname__", "it")
        name = f"{self.factory.__module__}:{own}"
        targets = data.train_targets[: len(outputs)]
        losses = self._tried(outputs, targets, name)
        self._tried(outputs.double(), targets, name)
        if not isinstance(losses, Tensor) or losses.shape != outputs.shape[:1]:
            given = list(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise UserError(
                f"landscape.loss_factory={name}: gives {given} for {len(outputs)} examples; it "
                f"must give the loss of each, [{len(outputs)}]"
            )
        adapted = copy(self)
        if not data.has_classes:
            object.__setattr__(adapted, "variance", variance_of(data.train_targets))
        object.__setattr__(adapted, "shape", tuple(outputs.shape[1:]))
        return adapted

    def _tried(self, outputs: Tensor, targets: Tensor, name: str) -> object:
        """What the function gives of outputs and targets [b, …]; UserError where it fails."""
        if targets.is_floating_point():
            targets = targets.to(outputs.dtype)
        try:
            return self._function(outputs.dtype)(outputs, targets)
        except Exception as fault:
            in_double = outputs.dtype == torch.float64
            kind = ""
            hint = ""
            if in_double:
                kind = " in float64"
                hint = "; take its own tensors `.to(outputs)`"
            raise UserError(
                f"landscape.loss_factory={name}: fails on outputs {list(outputs.shape)}{kind} and "
                f"targets {list(targets.shape)} ({in_a_line(fault, 100)}){hint}"
            ) from fault

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example [P, b] from outputs [P, b, …] and targets [P or 1, b, …]."""
        points, examples = outputs.shape[:2]
        targets = targets.expand(points, *targets.shape[1:])
        if targets.is_floating_point():
            targets = targets.to(outputs.dtype)
        function = self._function(outputs.dtype)
        losses = function(outputs.flatten(0, 1), targets.flatten(0, 1))
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
