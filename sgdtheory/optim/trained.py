"""Whether a point is a minimum at all: asked before anything is said of it as one."""

from math import isfinite

from sgdtheory.protocol import Landscape
from sgdtheory.roles.facts import constant_loss_of, lowest_loss_of

# of what the best constant prediction has above the lowest loss: with more left a network has not
# learned its training set
HALF = 0.5
ROUNDING = 1e-9  # of the best constant's loss, float64: targets that differ by less are all alike


def untrained(landscape: Landscape, loss: float | None) -> str:
    """Why a point of this training loss L is not trained; empty where it is.

    Trained is L − L₀ ≤ ½(L_c − L₀): L_c of the best constant prediction
    (`landscape.constant_loss()`: ln K nats of K equally frequent classes, the targets' variance),
    L₀ what no loss goes below (`landscape.lowest_loss()`: the mean entropy of smoothed or soft
    targets; 0 where none is stated). Nor is a loss trained that is not finite. A landscape that
    states no L_c, a formula above all, has only that asked; so has one where L_c is not above L₀:
    half of nothing means nothing.
    """
    if loss is None or not isfinite(loss):
        return "its training loss is not finite"
    constant = constant_loss_of(landscape)
    if constant is None:
        return ""
    lowest = lowest_loss_of(landscape) or 0.0
    room = constant - lowest
    if room <= ROUNDING * constant or loss - lowest <= HALF * room:
        return ""
    words = f"training loss {loss:#.3g}, the best constant prediction has {constant:#.3g}"
    if lowest:
        words += f", and the targets allow none below {lowest:#.3g}"
    return words
