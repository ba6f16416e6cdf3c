"""Lanczos on the Hessian from given vectors, and the Gauss quadratures that its Jacobi matrices
are.

Ours, because curvlinops 3.0.1 takes one vector at a time from the global generator, does not
reorthogonalise, and gives no error bar.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.products import Products
from sgdtheory.protocol import Landscape

# of the largest |α| or β: a remainder below this, or below so many ε of the dtype where that is
# more, is rounding, and the Krylov space is complete
CONVERGED = 1e-7
ROUNDED = 16


class Lanczos(NamedTuple):
    """What m steps have found from each of V vectors, float64."""

    alpha: Tensor  # [V, m], the diagonal of each Jacobi matrix
    beta: Tensor  # [V, m], the off-diagonal; the last one is the length of the remainder
    basis: Tensor  # [V, steps, n], in the dtype of the point
    closed: Tensor  # [V, m], whether the remainder of a step is rounding: the space is complete


def lanczos(
    landscape: Landscape,
    theta: Tensor,
    vectors: Tensor,
    steps: int,
    without: Tensor,
) -> Lanczos:
    """Jacobi matrices of H at θ [n] from vectors [V, n], on the complement of orthonormal rows
    `without` [k, n].

    Fully reorthogonalised, twice: once leaves what rounding has mixed in. A probe whose space is
    complete before those of others goes on in what is left of all directions.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> found = lanczos(bowl, origin, torch.ones(1, 2).double(), 2, origin.expand(0, 2))
    >>> found.alpha.round(decimals=6), found.basis.shape
    (tensor([[2.5000, 2.5000]], dtype=torch.float64), torch.Size([1, 2, 2]))
    """
    n = theta.numel()
    products_with = Products(landscape, theta)
    excluded = len(without)
    basis = torch.empty(len(vectors), steps, n, dtype=theta.dtype, device=theta.device)
    start = vectors - vectors @ without.T @ without
    newest = _normalised(start.double()).to(theta)
    rounding = max(CONVERGED, ROUNDED * torch.finfo(theta.dtype).eps)
    alpha = []
    beta = []
    closed = []
    scale = torch.zeros(len(vectors), dtype=torch.float64, device=theta.device)
    for m in range(min(steps, n - excluded)):
        basis[:, m] = newest
        product = products_with(newest)  # [V, n]
        diagonal = (product * newest).sum(1)
        alpha.append(diagonal.double())
        krylov = basis[:, : m + 1]
        product = _outside(_outside(product, without, krylov), without, krylov)
        size = product.norm(dim=1)
        beta.append(size.double())
        scale = torch.maximum(scale, torch.maximum(alpha[-1].abs(), beta[-1]))
        closed.append(beta[-1] <= rounding * scale)  # 0 is, of a Hessian that is 0
        if bool(closed[-1].all()):
            break
        newest = _normalised(product)
        if bool(closed[-1].any()):  # rounding made as long as a vector lies anywhere
            newest = _normalised(_outside(newest, without, krylov))
    diagonals = torch.stack(alpha, 1).cpu()
    off_diagonals = torch.stack(beta, 1).cpu()
    return Lanczos(diagonals, off_diagonals, basis, torch.stack(closed, 1).cpu())


def _outside(vectors: Tensor, without: Tensor, krylov: Tensor) -> Tensor:
    """Vectors [V, n] without what lies in orthonormal rows [k, n] and each in its own [V, m, n]."""
    left = vectors - vectors @ without.T @ without
    overlap = torch.einsum("vmn,vn->vm", krylov, left)
    return left - torch.einsum("vm,vmn->vn", overlap, krylov)


def _normalised(vectors: Tensor) -> Tensor:
    """Vectors [V, n] of length 1; 0 stays so."""
    tiny = torch.finfo(vectors.dtype).tiny
    sizes = vectors.norm(dim=1)
    normalised: Tensor = vectors / sizes.clamp_min(tiny)[:, None]
    return normalised


def eigen_jacobi(alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [V, m], ascending, and eigenvectors in columns [V, m, m] of Jacobi matrices with
    diagonals α [V, m] and off-diagonals β [V, m − 1].

    >>> eigen_jacobi(torch.zeros(1, 2), torch.ones(1, 1))[0]
    tensor([[-1.,  1.]])
    """
    upper = torch.diag_embed(beta, 1)
    lower = torch.diag_embed(beta, -1)
    matrices = torch.diag_embed(alpha) + upper + lower
    values, states = torch.linalg.eigh(matrices)
    return values, states


def quadratures(alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights [V, m] of the Gauss quadratures of Jacobi matrices; the weights of each row
    sum to 1.

    >>> quadratures(torch.zeros(1, 2), torch.ones(1, 1))
    (tensor([[-1.,  1.]]), tensor([[0.5000, 0.5000]]))
    """
    values, states = eigen_jacobi(alpha, beta)
    first = states[:, 0]
    return values, first.square()


def weighted_spectrum(
    landscape: Landscape,
    theta: Tensor,
    vectors: Tensor,
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Eigenvalues h_j [V·m] of H at θ [n] and weights w_j [V·m], Σ_j w_j = 1, with Σ_j w_j f(h_j) ≈
    Σ_v v·f(H)v / Σ_v |v|² for smooth f.

    Stochastic Lanczos quadrature, all vectors [V, n] at once. With draws of the gradient noise as
    vectors the weight of h is the share of Tr C at curvature h.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> weighted_spectrum(bowl, origin, torch.ones(1, 2).double(), 2)
    (tensor([1., 4.], dtype=torch.float64), tensor([0.5000, 0.5000], dtype=torch.float64))
    """
    norms = vectors.double().norm(dim=1)
    squares = norms.square()
    found = lanczos(landscape, theta, vectors, steps, vectors[:0])
    values, weights = quadratures(found.alpha, found.beta[:, :-1])
    shares = squares / squares.sum()
    weights = weights * shares.to(weights)[:, None]
    return values.flatten(), weights.flatten()
