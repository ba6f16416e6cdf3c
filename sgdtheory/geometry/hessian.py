"""The Hessian of a landscape at one point: as products, written down whole, and its largest
eigenpairs."""

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from sgdtheory.geometry.leading import KRYLOV, leading_eigenpairs
from sgdtheory.products import Products
from sgdtheory.protocol import Landscape

# Parameters up to which the whole Hessian is written down,
DENSE = 256  # because that is quicker than Lanczos,
DIAGONALISED = 2000  # to be diagonalised again and again: 32 MB, and seconds each time,
SOLVED = 6000  # to be inverted once: 300 MB


def hessian_operator(landscape: Landscape, theta: Tensor) -> LinearOperator:
    """v → H(θ)v at one point θ [n], as a scipy operator [n, n].

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> hessian_operator(bowl, origin) @ np.ones(2)
    array([4., 1.])
    """
    n = theta.numel()
    products_with = Products(landscape, theta)

    def product(vectors: np.ndarray) -> np.ndarray:
        columns = vectors.reshape(n, -1)
        contiguous = np.ascontiguousarray(columns.T)
        rows = torch.from_numpy(contiguous).to(theta)  # [V, n]
        products = products_with(rows)
        numbers: np.ndarray = products.cpu().double().numpy()
        return numbers.T.reshape(vectors.shape)

    return LinearOperator((n, n), matvec=product, matmat=product, dtype=np.float64)


def hessian(landscape: Landscape, theta: Tensor) -> Tensor:
    """The whole H(θ) at one point θ [n], [n, n] in θ's dtype, symmetric; n products.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl = Quadratic((4.0, 1.0))
    >>> hessian(bowl, torch.zeros(2, dtype=torch.float64)).diagonal()
    tensor([4., 1.], dtype=torch.float64)
    """
    identity = torch.eye(theta.numel(), dtype=theta.dtype, device=theta.device)
    matrix = hessian_products(landscape, theta, identity)
    return (matrix + matrix.T) / 2


def hessian_products(landscape: Landscape, theta: Tensor, vectors: Tensor) -> Tensor:
    """H(θ)v [V, n] for each of vectors [V, n] at one point θ [n].

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> hessian_products(bowl, origin, torch.ones(1, 2).double())
    tensor([[4., 1.]], dtype=torch.float64)
    """
    return Products(landscape, theta)(vectors)


def top_eigenpairs(landscape: Landscape, theta: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` algebraically largest eigenvalues [k] of H at θ [n], largest first, and their
    eigenvectors [k, n], float64.

    Implicitly restarted Lanczos (ARPACK) to residuals of 1e-6, so eigenvalues to the square of that
    over their gaps, each as often as it comes; small Hessians are written down and diagonalised.
    Raises scipy's ArpackNoConvergence.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> values, vectors = top_eigenpairs(bowl, origin, 1)
    >>> values, vectors.shape
    (tensor([4.], dtype=torch.float64), torch.Size([1, 2]))
    """
    n = theta.numel()
    if n <= DENSE or count + KRYLOV >= n:
        matrix = hessian(landscape, theta).cpu().double()
        values, vectors = np.linalg.eigh(matrix.numpy())
        values = np.flip(values)[:count]
        vectors = np.flip(vectors, 1)[:, :count]
    else:
        rounding = torch.finfo(theta.dtype).eps
        operator = hessian_operator(landscape, theta)
        values, vectors = leading_eigenpairs(operator, count, rounding)
    rows = vectors.T
    return torch.from_numpy(values.copy()), torch.from_numpy(rows.copy())
