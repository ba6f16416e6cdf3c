"""The stochastic area: what tells a steady state with a current from one without."""

import torch
from torch import Tensor

from sgdtheory.optim.sgd import SGDState
from sgdtheory.statistics.measured import Measured


def swept(state: SGDState, rate: float, plane: Tensor, origin: Tensor) -> Tensor:
    """(u·θ)(v·Δθ) − (v·θ)(u·Δθ) of each point [P], float64: the last step Δθ = −η·velocity in a
    `plane` (u, v) [2, n].

    Twice the area that the step sweeps, seen from the `origin` [n]. Its mean is zero at detailed
      balance, whatever the density
    is; in a steady state it is the same from every origin. The density cannot show a current
      (Chaudhari & Soatto 2018,
    1710.11029, Section 4). θ may be taken before or after the step: the difference is Δθ × Δθ = 0.

    """
    axes = plane.T.to(state.cloud)  # [n, 2]
    # [P, 2]
    place, step = (
        ((state.cloud - origin) @ axes).double(),
        -rate * (state.velocity @ axes).double(),
    )
    return place[:, 0] * step[:, 1] - place[:, 1] * step[:, 0]


def area_rate(areas: Tensor, time: float) -> Measured:
    """Mean of areas [P] swept in a time, per unit of it, ± standard deviation over replicas/√P;
    those not finite left out."""
    alive = areas[torch.isfinite(areas)].double().cpu()
    return Measured.mean(alive.numpy() / time)


def sigmas(found: Measured) -> float:
    """z, the mean over its standard error."""
    if found.value is None or not found.stderr:
        return 0.0
    return found.value / found.stderr


def largest_plane(areas: Tensor) -> Tensor:
    """The orthonormal (u, v) [2, n] for which u·Av of an antisymmetric A [n, n] is largest: its
    first singular vectors."""
    left, _, right = torch.linalg.svd(areas)
    return torch.stack([left[:, 0], right[0]])


def linear_area(hessian: Tensor, covariance: Tensor, rate: float) -> Tensor:
    """⟨θΔθᵀ − Δθθᵀ⟩ of one step of SGD on a quadratic in its steady state, −η(ΣH − HΣ) [n, n], zero
    where Σ and H commute."""
    return -rate * (covariance @ hessian - hessian @ covariance)
