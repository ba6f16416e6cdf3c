"""The precision that the curvature at a point is known in."""

from math import sqrt

import torch
from torch import Tensor

from sgdtheory.geometry.hessian import DIAGONALISED
from sgdtheory.protocol import Batch, Landscape, hvp, parts_of, values
from sgdtheory.rng import stream
from sgdtheory.roles.facts import decay_of_curvature, penalty_of, unit_of_loss

FINE = 1e-3  # of a curvature: rounding up to which it counts as known
SATURATED = 8  # roundings of 1 − p, p a class's probability, in a curvature
EPS = torch.finfo(torch.float64).eps


def in_precision(landscape: Landscape, theta: Tensor) -> Tensor:
    """θ [n] in a dtype in which its curvatures are known: float64 up to DIAGONALISED parameters,
    and where a product with the Hessian of one part of the objective, less λ, is another in
    float64 than in θ's dtype by more than FINE of itself; else as it is.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> in_precision(Quadratic((4.0, 1.0)), torch.zeros(2)).dtype
    torch.float64
    """
    double = theta.double()
    if theta.dtype == torch.float64 or theta.numel() <= DIAGONALISED:
        return double
    batch, _ = next(parts_of(landscape))
    vector = torch.randn(theta.shape, generator=stream(0, "precision")).to(theta)[None]
    found = hvp(landscape, theta[None], vector, batch)
    exact = hvp(landscape, double[None], vector.double(), batch)
    curved = exact - decay_of_curvature(landscape) * vector
    is_known = bool((found - exact).norm() <= FINE * curved.norm())
    return theta if is_known else double


def rounding_of_curvature(landscape: Landscape, theta: Tensor, size: float) -> float:
    """How far eigenvalues of H at θ [n] may be rounded, max|h| `size`: √n·ε·size, ε of θ's dtype;
    in float64 of saturated classes more (see `saturation`).

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> rounding_of_curvature(Quadratic((4.0, 1.0, 1.0, 1.0)), torch.zeros(4), 4.0) / 2**-23
    8.0
    """
    of_dtype = float(torch.finfo(theta.dtype).eps) * sqrt(theta.numel()) * size
    if theta.dtype != torch.float64:
        return of_dtype
    return max(of_dtype, saturation(landscape, theta) * size)


def saturation(landscape: Landscape, theta: Tensor) -> float:
    """The rounding of curvatures at θ [n] of a cross-entropy in float64, in units of the largest:
    8ε/L, L its mean over examples; 0 of other losses.

    Where all classes are certain L ~ 1 − p and h ~ (1 − p)·S, S what the curvature of outputs
    makes of it, and 1 − p is rounded by ε whatever it is: h by ε·S ~ ε·h/L. The whole is asked
    only where a part of the objective is so low.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> saturation(Quadratic((4.0, 1.0)), torch.zeros(2))
    0.0
    """
    if unit_of_loss(landscape) != "nats":
        return 0.0
    batch, _ = next(parts_of(landscape))
    found = _by_loss(landscape, theta, batch)
    if found > FINE and batch is not None:
        found = _by_loss(landscape, theta, None)
    return found


def _by_loss(landscape: Landscape, theta: Tensor, batch: Batch | None) -> float:
    point = theta.double()[None]
    loss = float(values(landscape, point, batch)[0] - penalty_of(landscape, point)[0])
    return SATURATED * EPS / max(min(1.0, loss), EPS**2)


def why_rounding(landscape: Landscape, theta: Tensor) -> str:
    """Why curvatures at θ [n] are rounding even in float64; empty where they are not.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> why_rounding(Quadratic((4.0, 1.0)), torch.zeros(2))
    ''
    """
    if saturation(landscape, theta) <= FINE:
        return ""
    return (
        f"the loss is below {SATURATED * EPS / FINE:.0e}: 1 − p of the classes, and with it all "
        "curvature, is rounding even in float64; train less far, or with landscape.weight_decay"
    )
