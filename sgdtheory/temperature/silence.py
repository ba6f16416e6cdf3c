"""Minima without gradient noise, where there is no temperature to be measured."""

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import whole_pass
from sgdtheory.protocol import Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.facts import device_of, title_of

ROUNDED = 8  # roundings of one gradient


def refuse_silence(
    landscape: Landscape,
    theta: Tensor,
    curvature: float,
    trace: float,
    gradient: Tensor,
    size: int,
) -> None:
    """UserError where Tr C(θ*) `trace` is no noise: no more than rounding makes of gradients as
    large as at a random point, or than |∇L|² of the `gradient` [n] that is left at θ* [n], for
    noise that vanishes at a minimum is of that size beside it. `size` b is that of SGD's batches.

    Of minima alone: where the largest `curvature` could not have made the slope at the random point
    on all the way to θ*, not even √ε of it, the landscape has none, as cells say that do not come
    to rest (softmax at λ = 0 is refused before: see runaway.py).
    """
    point = landscape.init(1, stream(0, "silence")).to(device_of(landscape), torch.float64)
    none = point[:0]
    there = whole_pass(landscape, point, size, stream(0, "silence"), none)
    slope = float(there.gradient_norms_squared[0].abs()) ** 0.5
    way = float((theta.to(point) - point[0]).norm())
    if abs(curvature) * way < torch.finfo(torch.float64).eps ** 0.5 * slope:
        return
    squares = float(there.noise_trace[0].clamp_min(0) + there.gradient_norms_squared[0].abs())
    rounding = (ROUNDED * torch.finfo(torch.float64).eps) ** 2 * squares
    left = float(gradient.double().square().sum())
    if trace > max(rounding, left):
        return
    raise UserError(
        f"landscape: {title_of(landscape)} has no gradient noise at its minimum (Tr C = "
        f"{trace:.2g}, of rounding {max(rounding, left):.2g}): by the law T·Tr C = 0 there, "
        f"and no temperature can be measured; take one whose mini-batches differ at the minimum"
    )
