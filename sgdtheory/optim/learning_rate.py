"""A learning rate that is measured: from the curvature of one mini-batch where a descent begins."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.protocol import Batch, Cloud, Landscape, value_and_grad
from sgdtheory.roles.facts import states_rate

PRODUCTS = 3  # with the Hessian, a gradient each: with the first one 12 forward passes of a batch
APART = 1e-3  # of |θ|: the two gradients of a product; nearer, ReLU's corners weigh too much
LOWER = 0.25  # of the rate before: what is tried where a training rose
MOST_TRIES = 5  # of a training at lower and lower rates
# after this fraction of the steps, or so many, the loss is below that fraction of its first
LOOKS = (
    (0.05, 20, 1.0),
    (0.2, 80, 0.95),  # dead units stay at ln K, which is a little below
)


class NoCurvature(RunError):
    """Nothing to measure a learning rate by."""


def is_measured(landscape: Landscape) -> bool:
    """Whether what `auto` means is measured by this file: on a network that states no number."""
    return states_rate(landscape) and landscape.learning_rate() is None


def steepness(landscape: Landscape, cloud: Cloud, batch: Batch | None = None) -> Tensor:
    """The scale h of the largest curvatures of a mini-batch's loss at each point, [P].

    h = |Hᵏg| / |Hᵏ⁻¹g|, k = 3, g the gradient: power iteration from it. A product is a difference,
    Hv = (∇L(θ) − ∇L(θ − εv))/ε with ε|v| = |θ|/1000 (1/1000 at θ = 0), so a landscape without
    second derivatives has one, and a network's corners within that distance count. On a quadratic
    exact. A finite length |θ| makes it covariant: at φ = θ/s it is s²h. Zero where the gradient is.
    """
    _, gradients = value_and_grad(landscape, cloud, batch)
    lengths = cloud.norm(dim=1, keepdim=True)
    lengths = APART * torch.where(lengths > 0, lengths, torch.ones_like(lengths))
    vectors, curvatures = gradients, torch.zeros_like(lengths[:, 0])
    for _ in range(PRODUCTS):
        sizes = vectors.norm(dim=1, keepdim=True)
        step = lengths / sizes.clamp_min(torch.finfo(cloud.dtype).tiny)
        _, other = value_and_grad(landscape, cloud - step * vectors, batch)
        vectors, before = (gradients - other) / step, sizes[:, 0]
        sizes = vectors.norm(dim=1)
        curvatures = torch.where(before > 0, sizes / before, curvatures)
    return curvatures


def measured_rate(
    landscape: Landscape, cloud: Cloud, batch: Batch | None, momentum: float
) -> float:
    """η = (1+μ)/h, half the limit 2(1+μ)/h of a quadratic, h the largest `steepness` of the points
    of a cloud [P, n].

    Raises NoCurvature where there is none to go by. Seen on eleven networks, from h = 0.6 to
    1,700: what trains best is within a factor of three of it, and on the straight line between two
    minima it suits AutoNEB's bands; where curvature grows tenfold later (an MLP on digits), the
    first looks see it.
    """
    steepest = float(steepness(landscape, cloud, batch).max())
    if not 0 < steepest < float("inf"):
        raise NoCurvature(
            f"a learning rate cannot be measured where this begins (curvature {steepest:g}): "
            "give landscape.learning_rate a number"
        )
    return (1 + momentum) / steepest


def look_steps(steps: int) -> list[tuple[int, float]]:
    """(step, fraction): after so many steps the loss is to be below that fraction of its first."""
    looks = []
    for part, least, fraction in LOOKS:
        step = max(least, round(part * steps))
        if step <= steps // 2:
            looks.append((step, fraction))
    return looks


def has_risen(first: float, recent: Sequence[float], fraction: float) -> bool:
    """Whether losses recorded at a look say that the rate is too high; what is not finite has
    risen."""
    return not sum(recent) / len(recent) < fraction * first
