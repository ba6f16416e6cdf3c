"""The largest eigenpairs of a symmetric operator, as often as each comes."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

from sgdtheory.rng import stream

Array = NDArray[np.float64]

RESIDUAL = 1e-6  # of an eigenvalue: |Hu − hu| up to which ARPACK takes a pair as found
KRYLOV, LOOKING = 20, 10  # vectors at least that ARPACK keeps, and in a look at the rest
# residuals at which the largest eigenvalue of the complement is looked at: most often the first is
# enough to see that it lies below the lowest that is kept
LOOKS = (1e-2, 1e-4, RESIDUAL)


def leading_eigenpairs(
    operator: LinearOperator, count: int, rounding: float
) -> tuple[Array, Array]:
    """The `count` algebraically largest eigenvalues [k] of an operator on n > k + KRYLOV numbers,
    largest first, and their eigenvectors [n, k]; products are rounded by `rounding` of themselves.

    A Krylov space has one vector of each eigenspace, so Lanczos sees an eigenvalue that comes
    several times once, or as often as rounding lets it. What was found is therefore taken out, and
    Lanczos looks again, from a vector at random: as long as an eigenvalue comes up in the
    complement that is above the lowest that is kept, more are looked for there. An operator that is
    0 has eigenvalues of 0. Raises scipy's ArpackNoConvergence, also where that has no end.

    >>> twice = LinearOperator((40, 40), matvec=lambda v: v * (np.arange(40) < 2), dtype=float)
    >>> leading_eigenpairs(twice, 3, 1e-15)[0].round(6) + 0
    array([1., 1., 0.])
    """
    n = operator.shape[0]
    start = np.cos(np.arange(n, dtype=np.float64))  # the same on every machine
    krylov = min(n, max(2 * count + 1, KRYLOV))
    try:
        values, vectors = _largest(operator, count, start, krylov, RESIDUAL)
    except ArpackError:
        # ARPACK takes no start whose image is 0
        if not _is_nothing(operator):
            raise
        return np.zeros(count), np.eye(n, count)
    source = stream(0, "copies")
    if count == 1:
        return values, vectors  # further copies of the largest would not be kept
    tolerance = max(RESIDUAL, n**0.5 * rounding)
    for _ in range(count):
        rest = _without(operator, values, vectors)
        bound = tolerance * float(np.abs(values).max())
        lowest = float(values[-1])
        probe = _random(n, vectors, source)
        if not _has_above(rest, lowest, bound, probe):
            return values, vectors
        more = min(count, n - count - 1)
        anew = _random(n, vectors, source)
        others, states = _largest(rest, more, anew, krylov, RESIDUAL)
        values = np.concatenate([values, others])
        vectors = np.concatenate([vectors, states], 1)
        order = np.argsort(-values, kind="stable")[:count]
        values = values[order]
        vectors = vectors[:, order]
    raise ArpackNoConvergence(
        f"after {count} searches there are still eigenvalues above the {count} largest found",
        values,
        vectors,
    )


def _largest(
    operator: LinearOperator, count: int, start: Array, krylov: int, residual: float
) -> tuple[Array, Array]:
    """The `count` largest eigenvalues [k], largest first, and eigenvectors [n, k] that ARPACK finds
    from a start [n] with so many vectors of a Krylov space."""
    values, vectors = eigsh(operator, k=count, which="LA", v0=start, ncv=krylov, tol=residual)
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def _is_nothing(operator: LinearOperator) -> bool:
    """Whether an operator is 0: of any other the kernel has no vector at random."""
    n = operator.shape[0]
    probe = torch.randn(n, generator=stream(0, "nothing"), dtype=torch.float64)
    return not operator.matvec(probe.numpy()).any()


def _without(operator: LinearOperator, values: Array, vectors: Array) -> LinearOperator:
    """The operator on the complement of orthonormal columns [n, k]; these are given an eigenvalue
    below those that are asked for."""
    largest = float(np.abs(values).max())
    lowest = float(values.min()) - largest

    def product(vector: Array) -> Array:
        flat = vector.reshape(-1)
        inside = vectors @ (vectors.T @ flat)
        image = operator.matvec(flat - inside)
        outside = image - vectors @ (vectors.T @ image)
        left: Array = outside + lowest * inside
        return left

    return LinearOperator(operator.shape, matvec=product, dtype=np.float64)


def _has_above(rest: LinearOperator, lowest: float, bound: float, start: Array) -> bool:
    """Whether an operator has an eigenvalue above the lowest that is kept, by more than a bound.

    ARPACK's residuals are relative to what it finds: with this shift, to about the lowest.
    """
    raised = lowest
    if lowest <= 0:
        raised = -2 * lowest
    shift = bound + raised

    def product(vector: Array) -> Array:
        image: Array = rest.matvec(vector)
        return image + shift * vector

    shifted = LinearOperator(rest.shape, matvec=product, dtype=np.float64)
    for residual in LOOKS:
        (value,), state = _largest(shifted, 1, start, LOOKING, residual)
        if value > lowest + shift + bound:
            return True
        if value + residual * abs(value) < lowest + shift:
            return False
        start = state[:, 0]
    return False


def _random(n: int, vectors: Array, source: torch.Generator) -> Array:
    """A vector [n] at random, orthogonal to columns [n, k]."""
    draws: Array = torch.randn(n, generator=source, dtype=torch.float64).numpy()
    left: Array = draws - vectors @ (vectors.T @ draws)
    return left
