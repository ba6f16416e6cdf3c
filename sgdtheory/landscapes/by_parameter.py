"""The gradients of a cloud, its parameters the leaves of autograd's graph."""

from collections.abc import Callable

import torch
from torch import Tensor

from sgdtheory.landscapes.penalty import Penalty
from sgdtheory.landscapes.views import Leaves, Places, taken
from sgdtheory.protocol import Cloud, TensorsByName


class ByParameter:
    """Losses [P] of a cloud [P, n] and the gradients [P, n] of them + ½λ|θ|²: what `by_autograd`
    gives, to the bit, without the views of θ in the graph, and written once, where they are to
    stand. It saves a thirtieth of a small transformer's step, a twentieth of that of 32 in one
    cloud.

    `weights`: the parameters by name that the losses are a function of, views of a cloud.
    """

    def __init__(self, weights: Callable[[Tensor], TensorsByName], penalty: Penalty) -> None:
        self._leaves = Leaves(weights)
        self._places = Places(weights)
        self._penalty = penalty

    def __call__(
        self,
        losses_of: Callable[[TensorsByName], Tensor],
        cloud: Cloud,
        into: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`losses_of` the weights are [P], without the penalty; `into` [P, n] is memory that may be
        taken for the gradients."""
        weights = self._leaves(cloud)
        with torch.enable_grad():
            losses = losses_of(weights)
            found = torch.autograd.grad(losses.sum(), [*weights.values()], materialize_grads=True)
        gradients = taken(into, cloud)
        places = [*self._places(gradients).values()]
        with torch.no_grad():  # as the places were made: torch 2.6 lets nobody else write there
            if self._penalty.weight_decay:
                self._penalty.gradient(cloud, gradients)
                torch._foreach_add_(places, found)
            else:
                torch._foreach_copy_(places, found)
        return losses.detach(), gradients
