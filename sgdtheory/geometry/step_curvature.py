"""Curvature along the steps of a descent: of mini-batches along their own gradients, and that at
which a step would raise the loss."""

import torch
from torch import Tensor

from sgdtheory.protocol import Landscape, hvp, value_and_grad, values
from sgdtheory.roles.examples import has_examples, sampled_of
from sgdtheory.statistics.measured import Measured

ROWS = 32  # mini-batches taken together
DOUBLINGS = 60  # of a step that does not raise the loss yet
BEYOND = 1e30  # stands for a rise that is not finite


def batch_sharpness(
    landscape: Landscape, theta: Tensor, size: int, draws: int, source: torch.Generator
) -> Measured:
    """E_B[g_B·H_B·g_B/|g_B|²] at one point θ [n], over mini-batches of `size` i.i.d. samples
    (Andreyev & Beneventano 2024, 2412.20553): the mean over `draws` and its standard error.

    No number where a mini-batch has no gradient.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl = Quadratic((2.0, 2.0), noise=0.1)
    >>> source = torch.Generator().manual_seed(0)
    >>> batch_sharpness(bowl, torch.ones(2).double(), 8, 100, source).value
    2.0
    """
    ratios: list[float] = []
    for first in range(0, draws, ROWS):
        points = min(ROWS, draws - first)
        copies = theta.expand(points, -1)
        if has_examples(landscape):
            indices = torch.randint(landscape.count, (points, size), generator=source)
            batch = landscape.batch(indices.to(theta.device))
        else:
            batch = sampled_of(landscape).sample(points, size, source)
        _, gradients = value_and_grad(landscape, copies, batch)
        products = hvp(landscape, copies, gradients, batch)
        along = (gradients * products).sum(1)
        squares = gradients.square().sum(1)
        if not bool((squares > 0).all()):
            return Measured.nothing("a mini-batch has no gradient")
        quotients = along.double() / squares.double()
        ratios += quotients.tolist()
    return Measured.mean(ratios)


def critical_sharpness(landscape: Landscape, theta: Tensor, update: Tensor) -> Measured:
    """λ_c = 2/η_c at one point θ [n], L(θ − η_cΔ) = L(θ) along an `update` Δ [n] (2601.16979).

    On a quadratic Δ·HΔ/(∇L·Δ), and for Δ = ∇L the curvature along the gradient. Sought from twice
    the step at which a quadratic would be lowest, outwards by doubling, to 1e-9 in float64: of
    several crossings one. No number where Δ does not lead down, or the loss never comes back.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, theta = Quadratic((4.0, 1.0)), torch.tensor([0.0, 1.0]).double()
    >>> round(critical_sharpness(bowl, theta, theta).value, 9)
    1.0
    """
    from scipy.optimize import brentq  # here, because importing it takes its time

    theta = theta.double()
    update = update.to(theta)
    losses, gradients = value_and_grad(landscape, theta[None])
    loss = float(losses[0])
    slope = float(gradients[0] @ update)
    if not slope > 0:
        return Measured.nothing("the step does not lead down")
    products = hvp(landscape, theta[None], update[None])
    curvature = float(products[0] @ update)

    def rise(step: float) -> float:
        """(L(θ − ηΔ) − L(θ))/η, at η = 0 its limit."""
        if step == 0:
            return -slope
        moved = theta - step * update
        found = float(values(landscape, moved[None])[0])
        rate = (found - loss) / step
        return rate if abs(rate) < BEYOND else BEYOND

    low = 0.0
    high = float(theta.norm() / update.norm()) or 1.0
    if curvature > 0:
        high = 2 * slope / curvature
    for _ in range(DOUBLINGS):
        if rise(high) > 0:
            crossing = float(brentq(rise, low, high, xtol=1e-12 * high, rtol=1e-9))
            return Measured(2 / crossing)
        low = high
        high = 2 * high
    return Measured.nothing("no step along it raises the loss")
