"""What torch hands to the two passes of a function with a derivative of its own."""

from typing import Protocol

from torch import Tensor


class Context(Protocol):
    """Where the forward pass leaves tensors [any shapes] for the backward pass."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What was kept on the way forward, each of its own shape […]."""
        ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...
    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...
