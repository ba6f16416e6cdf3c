"""The stochastic area, which distinguishes a steady state with a current from one without."""

import torch
from torch import Tensor

from sgdtheory.optim.sgd import SGDState
from sgdtheory.statistics.measured import Measured


def swept(
    state: SGDState,
    rate: float,
    plane: Tensor,
    origin: Tensor,
) -> Tensor:
    """(u·θ)(v·Δθ) − (v·θ)(u·Δθ) of each point [P], float64: the last step Δθ = −η·velocity in a
    `plane` (u, v) [2, n].

    Twice the area that the step sweeps, seen from the `origin` [n]. Its mean is zero at detailed
    balance, whatever the density is; in a steady state it is the same from every origin. The
    density cannot show a current (Chaudhari & Soatto 2018, 1710.11029, Section 4). θ may be taken
    before or after the step: the difference is Δθ × Δθ = 0.
    """
    axes = plane.T.to(state.cloud)  # [n, 2]
    places = (state.cloud - origin) @ axes  # [P, 2]
    velocities = state.velocity @ axes  # [P, 2]
    steps = -rate * velocities.double()
    x, y = places.double().unbind(1)
    dx, dy = steps.unbind(1)
    return x * dy - y * dx


def area_rate(areas: Tensor, time: float) -> Measured:
    """Mean of areas [P] swept in a time, per unit of it, ± standard deviation over replicas/√P;
    those that are not finite are left out.

    >>> area_rate(torch.tensor([1.0, 3.0, torch.nan]), time=2.0)
    Measured(value=1.0, stderr=0.5, unit='', why='')
    """
    is_finite = torch.isfinite(areas)
    alive = areas[is_finite].double().cpu()
    return Measured.mean(alive.numpy() / time)


def largest_plane(areas: Tensor) -> Tensor:
    """The orthonormal (u, v) [2, n] for which u·Av of an antisymmetric A [n, n] is largest: its
    first singular vectors.

    >>> u, v = largest_plane(torch.tensor([[0.0, 2.0], [-2.0, 0.0]]))
    >>> float(u @ torch.tensor([[0.0, 2.0], [-2.0, 0.0]]) @ v)
    2.0
    """
    left, _, right = torch.linalg.svd(areas)
    u = left[:, 0]
    v = right[0]
    return torch.stack([u, v])


def linear_area(hessian: Tensor, covariance: Tensor, rate: float) -> Tensor:
    """⟨θΔθᵀ − Δθθᵀ⟩ of one step of SGD on a quadratic in its steady state, −η(ΣH − HΣ) [n, n] of
    H and Σ [n, n]; zero where they commute.

    >>> linear_area(torch.diag(torch.tensor([2.0, 1.0])), torch.ones(2, 2), rate=0.5)
    tensor([[-0.0000,  0.5000],
            [-0.5000, -0.0000]])
    """
    commutator = covariance @ hessian - hessian @ covariance
    return -rate * commutator
