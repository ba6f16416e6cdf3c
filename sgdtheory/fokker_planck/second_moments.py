"""Second moments of SGD on linear regression, whose noise grows with the distance: where they
collapse, and where they come to rest."""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import quad
from scipy.linalg import eigh
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor

FAR = 12.0  # standard deviations of a Gaussian beyond which there is nothing


def second_moment_map(inputs: Tensor, rate: float, size: int) -> Tensor:
    """M [n², n²] of vec Σ ← M vec Σ, one step of SGD on ½⟨(x·θ − y)²⟩ without noise of its own.

    Σ ← E[(1 − ηH_B)Σ(1 − ηH_B)] = (1 − ηH)Σ(1 − ηH) + (η²/b)(⟨x xᵀΣx xᵀ⟩ − HΣH) of i.i.d. batches
    of b of the `inputs` x [N, n]; symmetric.

    >>> second_moment_map(torch.tensor([[1.0], [3.0]]), rate=0.1, size=1)  # ⟨(1 − ηx²)²⟩
    tensor([[0.4100]])
    """
    hessian, outer, fourth = _moments(inputs)
    one = torch.eye(len(hessian)).to(hessian)
    step = one - rate * hessian
    spreading = fourth - outer
    strength = rate**2 / size
    return torch.kron(step, step) + strength * spreading


def _moments(inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """H = ⟨x xᵀ⟩ [n, n], H⊗H and ⟨(x⊗x)(x⊗x)ᵀ⟩ [n², n²]."""
    count = len(inputs)
    hessian = inputs.T @ inputs / count
    outer = inputs[:, :, None] * inputs[:, None, :]
    squares = outer.flatten(1)
    fourth = squares.T @ squares / count
    product = torch.kron(hessian, hessian)
    return hessian, product, fourth


class TopMode(NamedTuple):
    """What grows fastest, or shrinks slowest, in a map of second moments."""

    radius: float  # by which a step multiplies it
    mode: Tensor  # [n, n], positive, of length one


def top_mode(mapped: Tensor) -> TopMode:
    """The spectral radius of M [n², n²] and its eigenvector as a matrix: M maps positive matrices
    to positive ones, so both are positive (Krein & Rutman 1948).

    M is symmetric, so that ⟨ΔᵀVΔ⟩ grows by exactly the radius a step, whatever the cloud is.
    """
    values, vectors = torch.linalg.eigh(mapped)
    n = round(len(mapped) ** 0.5)
    mode = vectors[:, -1].reshape(n, n)
    mode = (mode + mode.T) / 2
    side = mode.trace().sign()
    return TopMode(float(values[-1]), mode * side)


def collapse_threshold(inputs: Tensor, size: int) -> float:
    """η_c below which the radius of the map is below 1: the smallest η of (H⊗1 + 1⊗H)v = η((1 −
    1/b)H⊗H + ⟨(x⊗x)(x⊗x)ᵀ⟩/b)v; the `inputs` [N, n] span all n directions.

    >>> round(collapse_threshold(torch.tensor([[1.0], [3.0]]), size=1), 6)  # 2⟨x²⟩/⟨x⁴⟩
    0.243902
    """
    hessian, outer, fourth = _moments(inputs)
    one = torch.eye(len(hessian)).to(hessian)
    left = torch.kron(hessian, one)
    right = torch.kron(one, hessian)
    restoring = left + right
    noise = (fourth - outer) / size
    spreading = outer + noise
    ratios = eigh(spreading.numpy(), restoring.numpy(), eigvals_only=True)
    return 1 / float(ratios[-1])


def resting_covariance(inputs: Tensor, noise: Tensor, rate: float, size: int) -> Tensor | None:
    """Σ [n, n] of a cloud at rest, of (1 − M) vec Σ = (η²/b) vec C*, C* the `noise` [n, n] at the
    minimum; None where nothing holds it together."""
    if rate >= collapse_threshold(inputs, size):
        return None
    mapped = second_moment_map(inputs, rate, size)
    one = torch.eye(len(mapped)).to(mapped)
    strength = rate**2 / size
    source = strength * noise.flatten()
    flat = torch.linalg.solve(one - mapped, source)
    covariance: Tensor = flat.view_as(noise)
    return covariance


def lyapunov_exponent(drift: float, spread: float) -> float:
    """E log|1 + a − sξ|, ξ ~ N(0, 1), by which log|x| grows in a step of x ← x(1 + a − sξ).

    In continuous time a − s²/2, Itô's; Stratonovich's would be a.

    >>> round(lyapunov_exponent(0.01, 0.1), 4), round(lyapunov_exponent(0.5, 1e-9), 4)
    (0.005, 0.4055)
    """
    root = (1 + drift) / spread  # of ξ, where x would be 0

    def integrand(xi: float) -> float:
        distance = abs(root - xi)
        if distance == 0:
            return 0.0
        growth = np.log(spread * distance)
        return float(norm.pdf(xi) * growth)

    at = [root] if abs(root) < FAR else None
    mean, *_ = quad(integrand, -FAR, FAR, points=at, epsabs=1e-12, epsrel=1e-10, limit=400)
    return float(mean)


def collapse_of(drift: float) -> float:
    """The s above which x ← x(1 + a − sξ) collapses: where `lyapunov_exponent` is 0; √2a as a → 0.

    >>> round(collapse_of(0.01), 3)
    0.14
    """
    if drift <= 0:
        return 0.0
    high = drift**0.5
    while lyapunov_exponent(drift, high) > 0:
        high = 2 * high
    exponent_at = partial(lyapunov_exponent, drift)
    return float(brentq(exponent_at, high / 2, high))
