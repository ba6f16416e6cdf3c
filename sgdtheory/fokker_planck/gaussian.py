"""SGD's cloud on a quadratic: its covariance, the potential that it makes, and its free energy."""

from math import e, log, pi
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.fokker_planck.law import drag_of


def lyapunov(hessian: Tensor, noise: Tensor, rate: float, size: int) -> Tensor:
    """Σ [n, n] of HΣ + ΣH − ηHΣH = (η/b)C, the covariance of SGD's cloud on a quadratic, exact at
    any η, of H and C [n, n], which need not commute.

    >>> lyapunov(torch.tensor([[2.0]]), torch.tensor([[3.0]]), rate=0.5, size=1)
    tensor([[0.7500]])
    """
    h, basis = torch.linalg.eigh(hessian)
    turned = basis.T @ noise @ basis
    drag = drag_of(h[:, None], h, rate, 0.0)
    covariance = turned / (size * drag)
    found: Tensor = basis @ covariance @ basis.T
    return found


def without_steps(hessian: Tensor, covariance: Tensor, rate: float) -> Tensor:
    """What a covariance Σ [..., n, n] at a learning rate η would be in continuous time at the same
    T: Σ₀ of HΣ₀ + Σ₀H = HΣ + ΣH − ηHΣH.

    >>> without_steps(torch.tensor([[2.0]]), torch.tensor([[0.5]]), rate=0.5)
    tensor([[0.2500]])
    """
    h, basis = torch.linalg.eigh(hessian)
    turned = basis.T @ covariance @ basis
    both = h[:, None] + h
    products = h[:, None] * h
    kept = 1 - rate * products / both
    found: Tensor = basis @ (turned * kept) @ basis.T
    return found


def potential_of(covariance: Tensor, temperature: float) -> Tensor:
    """T·Σ⁻¹ [..., n, n]: the Hessian of Φ = −T log ρ of a Gaussian cloud of covariance Σ."""
    inverse: Tensor = torch.linalg.inv(covariance)
    return temperature * inverse


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Tr(AᵀB)/|A||B| [...] of matrices [..., n, n]: 1 where one is a multiple of the other.

    >>> cosine(torch.eye(2), torch.diag(torch.tensor([1.0, 0.0])))
    tensor(0.7071)
    """
    products = (a * b).sum((-2, -1))
    length = torch.linalg.matrix_norm(a)
    other = torch.linalg.matrix_norm(b)
    quotients: Tensor = products / (length * other)
    return quotients


class FreeEnergy(NamedTuple):
    """F = E[Φ] − T·S of a Gaussian cloud and its parts, [...] each."""

    energy: Tensor
    entropy: Tensor
    free: Tensor


def free_energy(
    potential: Tensor, covariance: Tensor, mean: Tensor, temperature: float, points: int
) -> FreeEnergy:
    """Of a cloud of covariance Σ [..., n, n] about a mean [..., n], both from `points` points, in
    Φ = ½θᵀAθ, A the `potential` [n, n].

    E[Φ] = ½Tr(AΣ) + ½m·Am, less ½Tr(AΣ)/P that the mean of P points adds; S = ½ log det Σ + (n/2)
    log 2πe, less the bias of log det, Σ_i ψ((P − i)/2) − n log((P − 1)/2) (Wishart).
    """
    n = covariance.shape[-1]
    spread = (potential * covariance).sum((-2, -1))
    shift = torch.einsum("...i,ij,...j->...", mean, potential, mean)
    of_mean = spread / points
    energy = 0.5 * (spread + shift - of_mean)
    freedoms = points - torch.arange(1, n + 1, dtype=torch.float64)
    digammas = torch.digamma(freedoms / 2)
    half_freedom = (points - 1) / 2
    bias = float(digammas.sum()) - n * log(half_freedom)
    volume = torch.logdet(covariance) - bias
    gauss = n * log(2 * pi * e)
    entropy = 0.5 * (volume + gauss)
    free = energy - temperature * entropy
    return FreeEnergy(energy, entropy, free)
