"""The straight line between two points, and a learning rate that suits all of it."""

import torch
from torch import Tensor

from sgdtheory.optim.learning_rate import NoCurvature, measured_rate
from sgdtheory.optim.sgd import SGD
from sgdtheory.protocol import Cloud, Landscape, value_and_grad

MEASURED_AT = (0.2, 0.4, 0.6, 0.8)  # of the line: where a learning rate is measured
ANY_RATE = 1.0  # where there is no gradient along all of the line, nothing moves at any rate


def points_on_line(ends: Cloud, t: Tensor) -> Cloud:
    """(1 − t)θ₀ + tθ₁ at t [T] between ends [2, n], [T, n]; the ends may be one point."""
    first = ends[:1]
    last = ends[1:]
    return torch.lerp(first, last, t.to(ends)[:, None])


def evenly_spaced(count: int, device: torch.device) -> Tensor:
    """`count` positions from 0 to 1, [count], float64."""
    return torch.linspace(0, 1, count, dtype=torch.float64, device=device)


def rate_along(landscape: Landscape, sgd: SGD, ends: Cloud, seed: int) -> float:
    """The learning rate as a number, one that suits the whole straight line between ends [2, n]."""
    t = torch.tensor(MEASURED_AT, dtype=torch.float64, device=ends.device)
    line = points_on_line(ends, t)
    try:
        resolved = sgd.resolve_learning_rate(landscape, line, seed)
    except NoCurvature:  # of a mini-batch that is fitted to rounding
        return _rate_of_all(landscape, line, sgd.momentum)
    return float(resolved.learning_rate)


def _rate_of_all(landscape: Landscape, line: Cloud, momentum: float) -> float:
    """The rate from the curvature of the whole objective at the points of a line [T, n]."""
    _, gradients = value_and_grad(landscape, line)
    if not gradients.any():
        return ANY_RATE
    return measured_rate(landscape, line, None, momentum)
