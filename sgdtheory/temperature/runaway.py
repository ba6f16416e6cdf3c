"""Losses without a minimum, after which a search runs away."""

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.protocol import Landscape, values
from sgdtheory.roles.facts import (
    constant_loss_of,
    lowest_loss_of,
    title_of,
    unit_of_loss,
    weight_decay_of,
)

FITTED = 1e-6  # of the best constant's loss: below it every example is told from all others


def refuse_runaway(landscape: Landscape, theta: Tensor) -> None:
    """UserError where the search that ended at θ [n], float64, ran after a minimum at infinity.

    A cross-entropy of certain targets is above 0 at every θ, and where the outputs can tell all
    examples apart it falls to 0 along a ray: without weight decay there is no minimum, and the
    curvature and noise that a temperature is made of vanish on the way.
    """
    if unit_of_loss(landscape) != "nats" or weight_decay_of(landscape):
        return
    constant = constant_loss_of(landscape)
    if not constant or lowest_loss_of(landscape) != 0:
        return
    with torch.no_grad():
        loss = float(values(landscape, theta[None])[0])
    if not loss <= FITTED * constant:
        return
    raise UserError(
        f"landscape: {title_of(landscape)} has no minimum here: the loss falls to 0 as |θ| grows "
        f"(it is {loss:.1g} at |θ| = {float(theta.norm()):.3g}), for all examples can be told "
        f"apart and nothing decays; set landscape.weight_decay above 0"
    )
