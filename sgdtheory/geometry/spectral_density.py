"""The density of a Hessian's eigenvalues: the largest known, the others as random vectors see
them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.geometry.hessian import DENSE, top_eigenpairs
from sgdtheory.geometry.lanczos import Lanczos, eigen_jacobi, lanczos, quadratures
from sgdtheory.protocol import Landscape
from sgdtheory.statistics.measured import Measured


class Inside(NamedTuple):
    """Directions in which a Hessian is known: eigenvectors, and the Krylov space of one probe.

    In both it costs no product more: Tr QHQᵀ is the sum of the eigenvalues and of α (Chen & Hallman
    2023, 2205.01736).
    """

    basis: Tensor  # Q [k, n], orthonormal rows, in the dtype of the point
    trace: Tensor  # Tr QHQᵀ [], float64


class SpectralDensity(NamedTuple):
    """All n eigenvalues of a Hessian: k of them known, of the others what V random vectors see in m
    steps of Lanczos.

    Row v of `alpha` and `beta` is the Jacobi matrix of probe v, whose eigenvalues are the nodes of
    a Gauss quadrature and whose eigenvectors' first components squared are its weights (Ubaru, Chen
    & Saad 2017, 10.1137/16M1104974).

    >>> none = torch.zeros(0, 1, dtype=torch.float64)
    >>> exact = SpectralDensity(4, torch.tensor([8.0, 1.0, 0.0, -1.0]), none, none[:, 1:])
    >>> exact.total(lambda h: h).value, exact.below(0.0).value, exact.share(-0.5, 0.5).value
    (8.0, 1.0, 0.25)
    """

    dim: int
    known: Tensor  # [k]
    alpha: Tensor  # [V, m], V = 0 when all eigenvalues are known
    beta: Tensor  # [V, m − 1]
    inside: Inside | None = None  # None when all eigenvalues are known
    complete: Tensor | None = None  # [V], probes whose quadrature is exact; None: not one is

    def total(self, f: Callable[[Tensor], Tensor]) -> Measured:
        """Σ_i f(h_i) over all eigenvalues, f [V, m] → [V, m] a polynomial of degree below 2m; its
        standard error is the scatter over probes."""
        values, weights = self.quadratures()
        per_probe = (weights * f(values)).sum(1)
        known = f(self.known).double().sum()
        return self._joined(known, per_probe, self._scatter, torch.zeros(()))

    def share(self, low: float, high: float) -> Measured:
        """The fraction of eigenvalues in (low, high).

        A quadrature places a probe's cumulative weight at h only to within the two nodes on either
        side of h (Chebyshev, Markov and Stieltjes; Szegő 1939, Section 3.41): the reported error
        adds half of that to the scatter over probes. Where the Krylov space was complete, as of a
        Hessian of few levels, nodes are the eigenvalues themselves and nothing is added.
        """
        values, weights = self.quadratures()
        inside = (low < values) & (values < high)
        unsure = self._half_gap(low) + self._half_gap(high)
        known_inside = (low < self.known) & (self.known < high)
        known = known_inside.double().sum() / self.dim
        per_probe = (weights * inside).sum(1)
        return self._joined(known, per_probe, self._chance, unsure, 1 / self.dim)

    def below(self, h: float) -> Measured:
        """How many eigenvalues are below h.

        Those of the last node below h may lie on either side, which is in the error; of a single
        vector, whose few nodes lie far apart, those of the first node above it too, as in `share`.
        """
        values, weights = self.quadratures()
        per_probe = torch.where(values < h, weights, 0).sum(1)
        is_single = len(per_probe) == 1
        unsure = self._half_gap(h) if is_single else self._node_weight(h, 0)
        known = (self.known < h).double().sum()
        return self._joined(known, per_probe, self._chance, unsure)

    def quadratures(self) -> tuple[Tensor, Tensor]:
        """Nodes and weights [V, m]; the weights of a probe sum to 1."""
        return quadratures(self.alpha, self.beta)

    def _half_gap(self, h: float) -> Tensor:
        """Half the mean weight of the two nodes on either side of h, []."""
        before = self._node_weight(h, 0)
        behind = self._node_weight(h, 1)
        return (before + behind) / 2

    def _node_weight(self, h: float, above: int) -> Tensor:
        """The mean weight [] of the last node below h (above = 0) or the first one above it (1); 0
        where there is none. A probe whose quadrature is exact adds none: its nodes lie where they
        are."""
        values, weights = self.quadratures()
        if not len(values):
            return torch.zeros(())
        padded = torch.nn.functional.pad(weights, (1, 1))  # [V, m + 2]
        at = (values < h).sum(1, keepdim=True) + above
        unsure = padded.gather(1, at)[:, 0]
        if self.complete is not None:
            unsure = unsure.masked_fill(self.complete, 0.0)
        return unsure.mean()

    def _joined(
        self,
        known: Tensor,
        per_probe: Tensor,
        scatter: Callable[[Tensor], Tensor],
        unsure: Tensor,
        unit: float = 1.0,
    ) -> Measured:
        """The sum over known eigenvalues and the mean over probes [V] for the rest, in units of one
        eigenvalue."""
        if not len(per_probe):
            return Measured(float(known))
        rest = unit * (self.dim - len(self.known))
        value = float(known + rest * per_probe.mean())
        error = torch.hypot(scatter(per_probe), unsure)
        return Measured(value, rest * float(error))

    def _scatter(self, per_probe: Tensor) -> Tensor:
        scatter: Tensor = per_probe.std() / len(per_probe) ** 0.5
        return scatter

    def _chance(self, weights: Tensor) -> Tensor:
        """How far the weight that probes [V] see may be off by chance.

        The scatter of several. A single Gaussian vector sees of a share f of n eigenvalues a weight
        that is Beta(nf/2, n(1−f)/2): √(2f(1−f)/n).
        """
        if len(weights) > 1:
            return self._scatter(weights)
        share = float(weights[0])
        variance = 2 * max(0.0, share * (1 - share)) / self.dim
        return torch.tensor(variance**0.5)


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

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> density(bowl, origin, 1, 8, 2, torch.Generator()).known
    tensor([4., 1.], dtype=torch.float64)
    """
    n = theta.numel()
    if n <= max(DENSE, count + 1):
        known, _ = top_eigenpairs(landscape, theta, n)
        no_probes = torch.zeros(0, 1, dtype=torch.float64)
        return SpectralDensity(n, known, no_probes, no_probes[:, 1:])
    known, vectors = top_eigenpairs(landscape, theta, count)
    return density_without(
        landscape,
        theta,
        known,
        vectors,
        probes,
        steps,
        source,
    )


def density_without(
    landscape: Landscape,
    theta: Tensor,
    known: Tensor,
    eigenvectors: Tensor,
    probes: int,
    steps: int,
    source: torch.Generator,
) -> SpectralDensity:
    """The density at θ [n] where eigenvalues [k] with eigenvectors [k, n] are known: `probes`
    random vectors see the rest in `steps` products each.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> source = torch.Generator().manual_seed(0)
    >>> known, vectors = top_eigenpairs(bowl, origin, 1)
    >>> seen = density_without(bowl, origin, known, vectors, 3, 1, source)
    >>> seen.alpha.shape, round(seen.total(lambda h: h).value, 6)
    (torch.Size([3, 1]), 5.0)
    """
    n = theta.numel()
    vectors = torch.randn(probes, n, generator=source, dtype=torch.float64)
    without = eigenvectors.to(theta)
    found = lanczos(landscape, theta, vectors.to(theta), steps, without)
    inside = _inside(known, without, found)
    complete = found.closed.any(1)
    return SpectralDensity(n, known, found.alpha, found.beta[:, :-1], inside, complete)


def _inside(known: Tensor, eigenvectors: Tensor, found: Lanczos) -> Inside:
    """Eigenvectors [k, n] of eigenvalues [k] and the Krylov space of the first probe, as far as it
    is none of rounding."""
    alpha = found.alpha[0]
    is_rounding = found.closed[0]
    steps = len(alpha)
    if bool(is_rounding.any()):
        steps = int(is_rounding.int().argmax()) + 1
    basis = torch.cat([eigenvectors, found.basis[0, :steps]])
    return Inside(basis, known.sum() + alpha[:steps].sum())


class RitzPairs(NamedTuple):
    """The largest eigenvalues as far as so many products show them: an eigenvalue lies within
    `bounds` of each value [k]."""

    values: Tensor  # [k], largest first
    # |Hu − hu| [k]: in a symmetric matrix an eigenvalue is no further away (Parlett 1980, Theorem
    # 4.5.1); at least rounding
    bounds: Tensor
    vectors: Tensor  # [k, n], orthonormal
    density: SpectralDensity  # all eigenvalues as the one start vector saw them


def ritz_pairs(
    landscape: Landscape,
    theta: Tensor,
    count: int,
    products: int,
    source: torch.Generator,
) -> RitzPairs:
    """The `count` largest Ritz values of `products` steps of Lanczos from one random vector at θ
    [n], float64.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> source = torch.Generator().manual_seed(0)
    >>> found = ritz_pairs(bowl, origin, 1, 2, source)
    >>> found.values, found.vectors.shape
    (tensor([4.], dtype=torch.float64), torch.Size([1, 2]))
    """
    dim = theta.numel()
    start = torch.randn(1, dim, generator=source, dtype=torch.float64).to(theta)
    found = lanczos(landscape, theta, start, products, start[:0])
    alpha, beta, basis, closed = found
    last = beta[0, -1]
    beta = beta[:, :-1]
    (values,), (states,) = eigen_jacobi(alpha, beta)
    order = values.argsort(descending=True)[:count]
    krylov = basis[0, : len(values)]  # [m, n]
    chosen = states[:, order]
    vectors = chosen.T.to(theta) @ krylov
    eps = torch.finfo(theta.dtype).eps
    size = float(values.abs().max())
    rounding = dim**0.5 * eps * size
    remainder = last * chosen[-1].abs()
    inside = _inside(values[:0], start[:0], found)
    complete = closed.any(1)
    density = SpectralDensity(dim, values[:0], alpha, beta, inside, complete)
    return RitzPairs(
        values=values[order],
        bounds=remainder.clamp_min(rounding),
        vectors=vectors.double().cpu(),
        density=density,
    )
