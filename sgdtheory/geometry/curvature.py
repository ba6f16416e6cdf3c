"""The curvature of a landscape at one point: top eigenpairs, and the density of all eigenvalues as
random vectors see it.

Lanczos is scipy's where eigenpairs are asked for. The density is ours: curvlinops 3.0.1 takes one
probe at a time from the global generator, does not reorthogonalise, and gives no error bar.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from sgdtheory.landscape import Landscape, hvp
from sgdtheory.statistics.measured import Measured

DENSE = 256  # parameters up to which the whole Hessian is written down
ROWS = 64  # products taken together; more gain nothing (measured, MLP on digits)


def hessian_operator(landscape: Landscape, theta: Tensor) -> LinearOperator:
    """v → H(θ)v at one point θ [n], as scipy knows operators."""
    n = theta.numel()

    def product(vectors: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(np.ascontiguousarray(vectors.reshape(n, -1).T)).to(theta)  # [V, n]
        found: np.ndarray = (
            hessian_products(landscape, theta, rows).cpu().double().numpy().T.reshape(vectors.shape)
        )
        return found

    return LinearOperator((n, n), matvec=product, matmat=product, dtype=np.float64)


def hessian(landscape: Landscape, theta: Tensor) -> Tensor:
    """The whole H(θ) at one point θ [n], [n, n] in θ's dtype, symmetric; n products."""
    found = hessian_products(
        landscape, theta, torch.eye(theta.numel(), dtype=theta.dtype, device=theta.device)
    )
    return (found + found.T) / 2


def hessian_products(landscape: Landscape, theta: Tensor, vectors: Tensor) -> Tensor:
    """H(θ)v of each of vectors [V, n], in chunks of rows."""
    return torch.cat(
        [hvp(landscape, theta.expand(len(rows), -1), rows) for rows in vectors.split(ROWS)]
    )


def top_modes(landscape: Landscape, theta: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` algebraically largest curvatures [k] at θ [n], largest first, and their
    directions [k, n], float64.

    Implicitly restarted Lanczos (ARPACK) to residuals of 1e-6, so eigenvalues to the square of that
    over their gaps; small Hessians are written down and diagonalised. Raises scipy's
    ArpackNoConvergence.
    """
    n = theta.numel()
    if n <= DENSE or count >= n - 1:
        values, vectors = np.linalg.eigh(hessian(landscape, theta).cpu().double().numpy())
    else:
        operator = hessian_operator(landscape, theta)
        start = np.cos(np.arange(n, dtype=np.float64))  # the same on every machine
        values, vectors = eigsh(
            operator, k=count, which="LA", v0=start, ncv=min(n, max(2 * count + 1, 20)), tol=1e-6
        )
    order = np.argsort(values)[::-1][:count]
    return torch.from_numpy(values[order].copy()), torch.from_numpy(vectors[:, order].T.copy())


class SpectralDensity(NamedTuple):
    """All n eigenvalues of a Hessian: k of them known, of the others what V random vectors see in m
    steps of Lanczos.

    Row v of `diagonal` and `beside` is the Jacobi matrix of probe v, whose eigenvalues are the
    nodes of a Gauss quadrature and whose eigenvectors' first components squared are its weights
    (Ubaru, Chen & Saad 2017, 10.1137/16M1104974).
    """

    dim: int
    known: Tensor  # [k]
    diagonal: Tensor  # [V, m], V = 0 when all eigenvalues are known
    beside: Tensor  # [V, m − 1]

    def total(self, f: Callable[[Tensor], Tensor]) -> Measured:
        """Σ_i f(h_i) over all eigenvalues, f a polynomial of degree below 2m; its standard error is
        the scatter over probes."""
        values, weights = self.quadratures()
        return self._joined(
            f(self.known).double().sum(),
            (weights * f(values)).sum(1),
            self._scatter,
            torch.zeros(()),
        )

    def share(self, low: float, high: float) -> Measured:
        """The fraction of eigenvalues in (low, high).

        A quadrature places a probe's cumulative weight at h only to within the two nodes beside h
        (Chebyshev, Markov and Stieltjes; Szegő 1939, Section 3.41): half of that stands in the
        error beside the scatter over probes.
        """
        values, weights = self.quadratures()
        inside = (low < values) & (values < high)
        unsure = sum(
            ((self._beside(edge, 0) + self._beside(edge, 1)) / 2 for edge in (low, high)),
            torch.zeros(()),
        )
        known = ((low < self.known) & (self.known < high)).double().sum()
        return self._joined(
            known / self.dim, (weights * inside).sum(1), self._chance, unsure, 1 / self.dim
        )

    def below(self, h: float) -> Measured:
        """How many eigenvalues are below h; those of the last node below it may lie on either side,
        which is in the error; of a single vector, whose few nodes lie far apart, those of the
        first node above it too, as in `share`."""
        values, weights = self.quadratures()
        each = torch.where(values < h, weights, 0).sum(1)
        unsure = (
            self._beside(h, 0) if len(each) != 1 else (self._beside(h, 0) + self._beside(h, 1)) / 2
        )
        return self._joined((self.known < h).double().sum(), each, self._chance, unsure)

    def quadratures(self) -> tuple[Tensor, Tensor]:
        """Nodes and weights [V, m]; the weights of a probe sum to 1."""
        return _quadratures(self.diagonal, self.beside)

    def _beside(self, h: float, above: int) -> Tensor:
        """The mean weight of the last node below h (above = 0) or the first one above (1); 0 where
        there is none."""
        values, weights = self.quadratures()
        if not len(values):
            return torch.zeros(())
        padded = torch.nn.functional.pad(weights, (1, 1))  # [V, m + 2]
        at = (values < h).sum(1, keepdim=True) + above
        return padded.gather(1, at).mean()

    def _joined(
        self,
        exact: Tensor,
        each: Tensor,
        scatter: Callable[[Tensor], Tensor],
        unsure: Tensor,
        unit: float = 1.0,
    ) -> Measured:
        """Known eigenvalues and the mean over probes, each [V], of the rest, in units of one
        eigenvalue."""
        if not len(each):
            return Measured(float(exact))
        rest = unit * (self.dim - len(self.known))
        return Measured(
            float(exact + rest * each.mean()), rest * float(torch.hypot(scatter(each), unsure))
        )

    def _scatter(self, each: Tensor) -> Tensor:
        scatter: Tensor = each.std() / len(each) ** 0.5
        return scatter

    def _chance(self, weights: Tensor) -> Tensor:
        """How far the weight that probes [V] see may be off by chance: by their scatter; of a
        single Gaussian vector, whose weight of a share f of n eigenvalues is Beta(nf/2,
        n(1−f)/2), by √(2f(1−f)/n)."""
        if len(weights) > 1:
            return self._scatter(weights)
        share = float(weights[0])
        return torch.tensor((2 * max(0.0, share * (1 - share)) / self.dim) ** 0.5)


def density(
    landscape: Landscape,
    theta: Tensor,
    count: int,
    probes: int,
    steps: int,
    source: torch.Generator,
) -> SpectralDensity:
    """The eigenvalue density at θ [n]: its `count` largest eigenvalues apart, then `probes` random
    vectors × `steps` products.

    With the largest eigenvalues taken out, which carry most of ‖H‖², the scatter of the trace is
    several times smaller (Meyer et al. 2021, 2010.09649). Up to DENSE parameters all eigenvalues
    are known.
    """
    n = theta.numel()
    if n <= max(DENSE, count + 1):
        known, _ = top_modes(landscape, theta, n)
        nothing = torch.zeros(0, 1, dtype=torch.float64)
        return SpectralDensity(n, known, nothing, nothing[:, 1:])
    known, modes = top_modes(landscape, theta, count)
    return density_beside(landscape, theta, known, modes, probes, steps, source)


class Leading(NamedTuple):
    """The largest curvatures as so many products show them: an eigenvalue lies within `bounds` of
    each value [k]."""

    values: Tensor  # [k], largest first
    # |Hu − hu| [k]: in a symmetric matrix one is no further (Parlett 1980, Theorem 4.5.1); or
    # rounding
    bounds: Tensor
    modes: Tensor  # [k, n], orthonormal
    density: SpectralDensity  # all eigenvalues as the one vector saw them


def leading(
    landscape: Landscape, theta: Tensor, count: int, products: int, source: torch.Generator
) -> Leading:
    """The `count` largest Ritz values of `products` steps of Lanczos from one random vector at θ
    [n], float64."""
    vector = torch.randn(1, theta.numel(), generator=source, dtype=torch.float64).to(theta)
    diagonal, beside, basis = _lanczos(landscape, theta, vector, products, vector[:0])
    jacobi = (
        torch.diag(diagonal[0]) + torch.diag(beside[0, :-1], 1) + torch.diag(beside[0, :-1], -1)
    )
    values, states = torch.linalg.eigh(jacobi)
    order = values.argsort(descending=True)[:count]
    modes = states[:, order].T.to(theta) @ basis[0, : len(values)]
    rounding = theta.numel() ** 0.5 * torch.finfo(theta.dtype).eps * float(values.abs().max())
    bounds = (beside[0, -1] * states[-1, order].abs()).clamp_min(rounding)
    seen = SpectralDensity(theta.numel(), values[:0], diagonal, beside[:, :-1])
    return Leading(values[order], bounds, modes.double().cpu(), seen)


def density_beside(
    landscape: Landscape,
    theta: Tensor,
    known: Tensor,
    modes: Tensor,
    probes: int,
    steps: int,
    source: torch.Generator,
) -> SpectralDensity:
    """What `probes` random vectors see in `steps` products each beside directions [k, n] whose
    curvatures are known."""
    vectors = torch.randn(probes, theta.numel(), generator=source, dtype=torch.float64).to(theta)
    diagonal, beside, _ = _lanczos(landscape, theta, vectors, steps, modes.to(theta))
    return SpectralDensity(theta.numel(), known, diagonal, beside[:, :-1])


def weighted_spectrum(
    landscape: Landscape, theta: Tensor, vectors: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Curvatures h_j and weights w_j, Σ_j w_j = 1, with Σ_j w_j f(h_j) ≈ Σ_v v·f(H)v / Σ_v |v|² for
    smooth f.

    Stochastic Lanczos quadrature, all vectors [V, n] at once. With draws of the gradient noise as
    vectors the weight of h is the share of Tr C at curvature h.
    """
    norms = vectors.double().norm(dim=1)
    diagonal, beside, _ = _lanczos(landscape, theta, vectors, steps, vectors[:0])
    values, weights = _quadratures(diagonal, beside[:, :-1])
    weights = weights * (norms.square() / norms.square().sum()).to(weights)[:, None]
    return values.flatten(), weights.flatten()


def _lanczos(
    landscape: Landscape, theta: Tensor, vectors: Tensor, steps: int, without: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Jacobi matrices of H on the complement of `without` [k, n], float64: diagonal [V, m], and
    beside [V, m], the last of which is the length of what is left over; with the basis [V,
    steps, n].

    Fully reorthogonalised, twice: once leaves what rounding has mixed in.

    """
    n, kept = theta.numel(), len(without)
    basis = torch.empty(len(vectors), steps, n, dtype=theta.dtype, device=theta.device)  # [V, m, n]
    start = vectors - vectors @ without.T @ without
    newest = (start.double() / start.double().norm(dim=1, keepdim=True)).to(theta)
    diagonal, beside = [], []
    for m in range(min(steps, n - kept)):
        basis[:, m] = newest
        product = hessian_products(landscape, theta, newest)  # [V, n]
        diagonal.append((product * newest).sum(1).double())
        for _ in range(2):
            product = product - product @ without.T @ without
            overlap = torch.einsum("vmn,vn->vm", basis[:, : m + 1], product)
            product = product - torch.einsum("vm,vmn->vn", overlap, basis[:, : m + 1])
        size = product.norm(dim=1)
        beside.append(size.double())
        newest = product / size.clamp_min(torch.finfo(theta.dtype).tiny)[:, None]
        if float(size.max()) < 1e-7 * float(diagonal[0].abs().max()):
            break
    return torch.stack(diagonal, 1).cpu(), torch.stack(beside, 1).cpu(), basis


def _quadratures(diagonal: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights [V, m] of Jacobi matrices."""
    values, states = torch.linalg.eigh(
        torch.diag_embed(diagonal) + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    )
    return values, states[:, 0].square()
