"""Whether the loss goes on falling below a point that is taken for a minimum."""

from dataclasses import replace
from math import isfinite

from torch import Tensor

from sgdtheory.optim.descent import full_batch
from sgdtheory.optim.learning_rate import LOWER
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.rng import key

STEPS = 500  # of heavy-ball descent, thousands of times 1/h_max in all
TRIES = 6  # at lower and lower rates
# of Tr C: with |∇L|² below it a cell of 10⁵ steps has |∇L|²ηt ≪ ½T·Tr C, whatever its T
LEVEL = 1e-9


def fall_below(
    landscape: Landscape, theta: Tensor, gradient: Tensor, noise_trace: float, seed: int
) -> float:
    """How far the loss falls in a descent from θ* [n] with the gradient [n]; 0 at a minimum.

    L-BFGS ends at the kinks of a piecewise smooth loss, and at the limit of its iterations, where a
    descent without noise still goes down: what clouds have there is no excess over a minimum. Rates
    that go to zero leave no jumps about a kink. Between kinks the curvature may be nothing, so that
    the rate which it allows throws a descent off: rates are lowered until they bring no more.
    """
    if float(gradient.square().sum()) <= LEVEL * noise_trace:
        return 0.0
    start = theta[None]
    seed = key(seed, "slope")
    descent = full_batch(landscape, start, STEPS, seed)
    before = float(value_and_grad(landscape, start)[0])
    fall = 0.0
    for _ in range(TRIES):
        for state in descent.run(landscape, start, seed):
            cloud = state.cloud
        found = before - float(value_and_grad(landscape, cloud)[0])
        if 0 < found <= fall:
            break
        fall = max(fall, found if isfinite(found) else 0.0)
        descent = replace(descent, learning_rate=LOWER * descent.rate)
    return fall
