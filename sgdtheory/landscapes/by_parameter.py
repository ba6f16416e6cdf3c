"""The gradient of one point, its parameters the leaves of autograd's graph."""

from collections.abc import Callable

import torch
from torch import Tensor

from sgdtheory.landscapes.views import Leaves
from sgdtheory.protocol import Cloud, TensorsByName


def by_parameter(
    losses_of: Callable[[TensorsByName], Tensor], leaves: Leaves, cloud: Cloud
) -> tuple[Tensor, Tensor]:
    """Losses [1] of one point [1, n] and their gradient [1, n]: what `by_autograd` gives, to the
    bit, without the views of θ in the graph, which are a thirtieth of a small transformer's
    step."""
    weights = leaves(cloud)
    with torch.enable_grad():
        losses = losses_of(weights)
        found = torch.autograd.grad(losses.sum(), [*weights.values()], materialize_grads=True)
    gradient = torch.cat([part.flatten() for part in found])
    return losses.detach(), gradient[None]
