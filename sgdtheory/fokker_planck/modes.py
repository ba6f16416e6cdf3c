"""Where the density of a cloud is highest, from its histogram, with an error."""

from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np

from sgdtheory.statistics.measured import Measured

Array = np.ndarray
Term = tuple[int, ...]  # a product of coordinates, as the axes that they are of
DEGREE = 4  # of the polynomial that log ρ is near its top
TOP = 0.35  # of the highest bin: those above it are fitted, about ±1.4 standard deviations
NEWTON = 30  # steps


def mode_of(counts: Array, centres: Array, near: Array, reach: float) -> list[Measured]:
    """The place [k] of the highest density within `reach` of `near` [k], from counts [M] in equal
    bins at `centres` [M, k].

    A polynomial p of degree 4 is fitted to log counts, weighted by the counts, in the bins above
    0.35 of the highest one, and its top found by Newton steps. The error is that of independent
    points, whose log counts have variances 1/counts, through δx = −(∂²p)⁻¹∂δp.

    >>> x = np.linspace(-1, 1, 41)[:, None]
    >>> bell = 1e6 * np.exp(-8 * (x[:, 0] - 0.1) ** 2)
    >>> round(mode_of(bell, x, np.zeros(1), 1.0)[0].value, 6)
    0.1
    """
    inside = np.linalg.norm(centres - near, axis=1) < reach
    high = counts[inside].max() * TOP
    used = inside & (counts > high)
    terms = _terms(centres.shape[1])
    if used.sum() <= len(terms):
        return [Measured.nothing("too few bins at the top of the density") for _ in near]
    weights = counts[used]
    bins = centres[used]
    top = bins[weights.argmax()]
    places = bins - top
    columns = []
    for term in terms:
        factors = places[:, list(term)]
        columns.append(factors.prod(1))
    design = np.stack(columns, 1)
    weighted = weights[:, None] * design
    precision = design.T @ weighted  # of the coefficients
    logs = np.log(weights)
    coefficients = np.linalg.solve(precision, weighted.T @ logs)
    best = np.zeros(len(top))
    for _ in range(NEWTON):
        slopes = _first(terms, best)
        curvature = _second(coefficients, terms, best)
        best = best - np.linalg.solve(curvature, slopes.T @ coefficients)
    slopes = _first(terms, best)
    curvature = _second(coefficients, terms, best)
    moves = np.linalg.solve(curvature, slopes.T)  # of the top, by the coefficients
    spread = np.linalg.solve(precision, moves.T)
    variances = (moves * spread.T).sum(1)
    found = []
    for place, error in zip(top + best, np.sqrt(variances), strict=True):
        found.append(Measured(float(place), float(error)))
    return found


def _terms(axes: int) -> list[Term]:
    terms: list[Term] = []
    for degree in range(DEGREE + 1):
        terms += combinations_with_replacement(range(axes), degree)
    return terms


def _first(terms: list[Term], x: Array) -> Array:
    """The gradients of all terms at x [k], [terms, k]."""
    slopes = np.zeros((len(terms), len(x)))
    for row, term in zip(slopes, terms, strict=True):
        for axis, others in _factors(term):
            row[axis] += x[list(others)].prod()
    return slopes


def _second(coefficients: Array, terms: list[Term], x: Array) -> Array:
    """The Hessian [k, k] of the polynomial at x [k]."""
    curvature = np.zeros((len(x), len(x)))
    for coefficient, term in zip(coefficients, terms, strict=True):
        for axis, others in _factors(term):
            slopes = _first([others], x)[0]
            curvature[axis] += coefficient * slopes
    return curvature


def _factors(term: Term) -> Iterator[tuple[int, Term]]:
    """Each coordinate of a product, and the product of the others."""
    for i, axis in enumerate(term):
        yield axis, term[:i] + term[i + 1 :]
