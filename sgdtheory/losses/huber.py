"""Squares near the target, distances far from it."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from sgdtheory.annotations import PositiveFloat
from sgdtheory.losses.loss import lowest_of_constants, per_example
from sgdtheory.losses.mse import MSE, beside


@dataclass(frozen=True)
class Huber(MSE):
    """½r² where |r| ≤ δ, else δ(|r| − ½δ), r = y − f, the mean over the numbers of a target (Huber
    1964)."""

    delta: PositiveFloat = 1.0

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example [P, b] from outputs [P, b, …] and targets [P or 1, b, …]."""
        numbers = beside(outputs, targets).expand_as(outputs)
        return per_example(F.huber_loss(outputs, numbers, reduction="none", delta=self.delta))

    def of_constant(self, targets: Tensor, outputs: int) -> float:
        """The lowest mean over targets [N, …] of one output for all: convex, so it is found."""
        shape: tuple[int, ...] = (outputs,)
        if targets.is_floating_point():
            shape = tuple(targets.shape[1:])
        return lowest_of_constants(self.losses, targets.cpu(), shape or (1,))

    def lowest(self, targets: Tensor, outputs: int) -> float:
        """0, where outputs are their targets [N, …]."""
        return 0.0
