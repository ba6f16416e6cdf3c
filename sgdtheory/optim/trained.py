"""Whether a point is a minimum at all: asked before anything is said of it as one."""

from math import isfinite

from sgdtheory.protocol import Landscape
from sgdtheory.roles.facts import constant_loss_of

# of the best constant prediction's loss: above it a network has not learned its training set
HALF = 0.5


def untrained(landscape: Landscape, loss: float | None) -> str:
    """Why a point of this training loss is not trained; empty where it is.

    A loss above half of that of the best constant prediction (`landscape.constant_loss()`: ln K
    nats of K equally frequent classes, the targets' variance) is not trained, nor is one that is
    not finite. A landscape that states no such loss, a formula above all, has only that asked; so
    has one where a constant's is not above 0: half of it means nothing.
    """
    if loss is None or not isfinite(loss):
        return "its training loss is not finite"
    constant = constant_loss_of(landscape)
    if constant is None or constant <= 0 or loss <= HALF * constant:
        return ""
    return f"training loss {loss:#.3g}, the best constant prediction has {constant:#.3g}"
