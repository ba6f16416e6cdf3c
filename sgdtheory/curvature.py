"""The curvature of a landscape at one point: top eigenpairs, and the spectrum as a given set of vectors sees it."""

from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from sgdtheory.landscape import hvp

DENSE = 256  # parameters up to which the whole Hessian is written down


def hessian_operator(landscape: Any, theta: Tensor) -> LinearOperator:
    """v → H(θ)v at one point θ [n], as scipy knows operators."""
    n = theta.numel()

    def product(vectors: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(np.ascontiguousarray(vectors.reshape(n, -1).T)).to(theta)  # [V, n]
        found: np.ndarray = hvp(landscape, theta.expand(len(rows), -1), rows).cpu().double().numpy().T.reshape(vectors.shape)
        return found

    return LinearOperator((n, n), matvec=product, matmat=product, dtype=np.float64)


def top_modes(landscape: Any, theta: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` algebraically largest curvatures [k] at θ [n], largest first, and their directions [k, n], float64.

    Implicitly restarted Lanczos (ARPACK); small Hessians are written down and diagonalised.
    """
    n = theta.numel()
    operator = hessian_operator(landscape, theta)
    if n <= DENSE or count >= n - 1:
        dense = operator.matmat(np.eye(n))
        values, vectors = np.linalg.eigh((dense + dense.T) / 2)
    else:
        start = np.cos(np.arange(n, dtype=np.float64))  # the same on every machine
        values, vectors = eigsh(operator, k=count, which="LA", v0=start, ncv=min(n, max(2 * count + 1, 20)), tol=1e-6)
    order = np.argsort(values)[::-1][:count]
    return torch.from_numpy(values[order].copy()), torch.from_numpy(vectors[:, order].T.copy())


def weighted_spectrum(landscape: Any, theta: Tensor, vectors: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Curvatures h_j and weights w_j, Σ_j w_j = 1, with Σ_j w_j f(h_j) ≈ Σ_v v·f(H)v / Σ_v |v|² for smooth f.

    Stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017, 10.1137/16M1104974), all vectors [V, n] at once and fully
    reorthogonalised. With draws of the gradient noise as vectors the weight of h is the share of Tr C at curvature h.
    """
    norms = vectors.double().norm(dim=1)
    points = theta.expand(len(vectors), -1)
    basis = [(vectors.double() / norms[:, None]).to(theta)]
    diagonal, beside = [], []
    for _ in range(min(steps, theta.numel())):
        product = hvp(landscape, points, basis[-1])  # [V, n]
        diagonal.append((product * basis[-1]).sum(1).double())
        stack = torch.stack(basis, 1)  # [V, m, n]
        for _ in range(2):  # once leaves what rounding has mixed in
            product = product - torch.einsum("vm,vmn->vn", torch.einsum("vmn,vn->vm", stack, product), stack)
        size = product.norm(dim=1)
        beside.append(size.double())
        basis.append(product / size.clamp_min(torch.finfo(theta.dtype).tiny)[:, None])
        if float(size.max()) < 1e-7 * float(diagonal[0].abs().max()):
            break
    a, b = torch.stack(diagonal, 1), torch.stack(beside, 1)[:, :-1]  # [V, m], [V, m−1]
    values, states = torch.linalg.eigh(torch.diag_embed(a) + torch.diag_embed(b, 1) + torch.diag_embed(b, -1))
    weights = states[:, 0].square() * (norms.square() / norms.square().sum())[:, None]
    return values.flatten().cpu(), weights.flatten().cpu()
