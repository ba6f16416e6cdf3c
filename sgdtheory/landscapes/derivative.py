"""Whether a slope is the derivative of a function: against differences, as far as rounding lets
them be known."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

# of differences: a kink of a ReLU may lie within one
STEPS = (1e-7, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
SHIFT = 1e-13  # by which a point is moved to see how far its loss is rounded
EPS = torch.finfo(torch.float64).eps
KNOWN = 0.05  # of a slope, up to which rounding leaves its difference known
SLOPE = 1e-3  # of a slope that differs from the difference by no more: seen ≤ 1e-6

LossAt: TypeAlias = Callable[[Tensor], float]  # of a point θ [n], float64


def is_derivative(loss_at: LossAt, theta: Tensor, gradient: Tensor, direction: Tensor) -> bool:
    """Whether the slope of a gradient [n] at θ [n] along a unit vector [n] is that of some
    difference which rounding leaves known."""
    slope = float(gradient @ direction)
    typical = float(gradient.norm()) / len(gradient) ** 0.5
    scale = max(abs(slope), typical, 1e-12)
    above = loss_at(theta + SHIFT * direction)
    below = loss_at(theta - SHIFT * direction)
    # a large loss may not feel the shift at all, which shows as no noise
    size = max(abs(above), abs(below))
    noise = max(abs(above - below), 2 * EPS * size)
    known = [step for step in STEPS if noise / step <= KNOWN * scale]
    for step in known:
        apart = abs(difference(loss_at, theta, direction, step) - slope)
        if apart <= SLOPE * scale + 3 * noise / step:
            return True
    return not known


def difference(loss_at: LossAt, theta: Tensor, direction: Tensor, step: float) -> float:
    """(L(θ + εu) − L(θ − εu))/2ε at θ [n] along u [n]."""
    shift = step * direction
    above = loss_at(theta + shift)
    below = loss_at(theta - shift)
    return (above - below) / (2 * step)
