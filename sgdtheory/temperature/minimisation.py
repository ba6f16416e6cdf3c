"""The minimum that a sweep looks for where none is given."""

from dataclasses import replace

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.geometry.gradient_noise import is_additive
from sgdtheory.optim.descent import lbfgs
from sgdtheory.optim.learning_rate import LOWER, MOST_TRIES, has_risen, is_measured, look_steps
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.examples import examples_of
from sgdtheory.temperature.runaway import refuse_runaway

POLISH = 2000  # iterations of L-BFGS
RESTARTS = 5  # of L-BFGS
RESOLVED = 1e-7  # of the loss, in float32: a restart that gains less is not worth another
TRAINING = 400  # steps of SGD that come before, for networks that L-BFGS cannot minimise


def find_minimum(landscape: Landscape, start: Tensor | None, seed: int) -> Tensor:
    """θ* [n], float64, below a start [n] or a random one, by L-BFGS.

    A network with batch norm is trained by SGD instead, unless a start is given: its objective has
    no minimum along |w| that L-BFGS would reach. UserError where the search runs away.
    """
    cloud = landscape.init(1, stream(seed, "init", 0)) if start is None else start[None]
    if is_additive(landscape):
        theta = _lowest(landscape, cloud.double())
        refuse_runaway(landscape, theta)
        return theta
    if start is None:
        cloud = _trained(landscape, cloud, seed)
    if not torch.isfinite(cloud).all():
        raise RunError("the training of the minimum diverged; lower landscape.learning_rate")
    return cloud[0].double()


def _lowest(landscape: Landscape, cloud: Tensor) -> Tensor:
    """θ* [n] by L-BFGS from [1, n] on, begun anew where it has ended for as long as that falls: at
    a kink what it remembers of the curvature is of the other side."""
    theta = lbfgs(landscape, cloud, POLISH)
    loss = float(value_and_grad(landscape, theta)[0])
    for _ in range(RESTARTS):
        lower = lbfgs(landscape, theta, POLISH)
        before, loss = loss, float(value_and_grad(landscape, lower)[0])
        if not before - loss > RESOLVED * abs(before):
            break
        theta = lower
    return theta[0]


def _trained(landscape: Landscape, start: Tensor, seed: int) -> Tensor:
    """Where training from a start [1, n] ends, [1, n]; where its loss has risen at the first
    checks, at a lower rate (see `run_measured`)."""
    size = min(128, examples_of(landscape).count)
    sgd = SGD(TRAINING, size, "auto", Cosine(), 0.9).resolve_learning_rate(landscape, start, seed)
    looks = dict(look_steps(TRAINING))
    measures = is_measured(landscape)
    for tries in range(MOST_TRIES):
        losses: list[float] = []
        cloud = start
        for state in sgd.run(landscape, start, seed):
            cloud = state.cloud
            assert state.losses is not None
            losses.append(float(state.losses[0]))
            share = looks.get(state.step, 0.0)
            watched = share > 0 and measures and tries < MOST_TRIES - 1
            if watched and has_risen(losses[0], losses[state.step // 2 :], share):
                sgd = replace(sgd, learning_rate=LOWER * sgd.rate)
                break
        else:
            return cloud
    return cloud
