"""What is claimed of SGD's potential on a quadratic, and its picture."""

from math import sqrt

import numpy as np
import torch
from torch import Tensor

from sgdtheory.statistics.few import SIGMAS
from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import column_of, grouped_by
from sgdtheory.statistics.tolerance import all_near, beyond_errors

ELEMENT = 4.0  # standard errors that one of some 54 elements may be off
POOLED = 0.02  # of the matrix, relative, all cells together
EXCLUDED = 10.0  # standard errors from every multiple of H
ALIKE = 0.03  # standard deviation of log-ratios over cells


def claims_of(name: str, rows: Rows, pooled: Rows, isotropic: bool) -> list[Claim]:
    """The matrix is Lyapunov's, is not H where noise is not isotropic, and is one."""
    claims = [_agreement(name, rows, pooled, isotropic)]
    if not isotropic:
        claims.append(_not_the_loss(name, pooled))
    return claims + _alike(name, rows)


def _length(rows: Rows, name: str, less: str | None = None) -> float:
    """|A| or |A − B| of symmetric matrices, of which the rows are the upper triangle."""
    total = 0.0
    for row in rows:
        value: float = row[name] - (row[less] if less else 0.0)
        diagonal = row["place"][0] == row["place"][1]
        total += value**2 if diagonal else 2 * value**2
    return sqrt(total)


def _agreement(name: str, rows: Rows, pooled: Rows, isotropic: bool) -> Claim:
    """Every element of every cell within its error, and all cells together within 2 %."""
    worst = max(abs(row["element"] - row["exact"]) / row["element_stderr"] for row in rows)
    against, what = "exact", "the Lyapunov answer"
    if isotropic:
        against, what = "loss", "H over the noise: where C ∝ 1 Φ is the loss"
    scale = _length(pooled, against)
    apart = _length(pooled, "element", against) / scale
    error = _length(pooled, "element_stderr") / scale
    words = (
        f"{name}: T·Σ⁻¹ of {len(rows) // len(pooled)} clouds is {what}, within "
        f"{100 * apart:.1f} % together, each of {len(rows)} elements within {worst:.1f} errors"
    )
    expected = f"{POOLED:g} together, {ELEMENT:g} standard errors each"
    _, holds, why = all_near([Measured(apart, error)], 0, POOLED, f"raise systems.{name}.replicas")
    if worst >= ELEMENT:
        holds = False
    return Claim(name, words, Measured(apart, error, why=why), expected, holds)


def _not_the_loss(name: str, pooled: Rows) -> Claim:
    """How far the matrix is from the nearest multiple of H."""
    farthest = _farthest(pooled, "element")
    words = (
        f"{name}: no multiple of H is T·Σ⁻¹: an element is {farthest:.0f} standard errors from the "
        "nearest one"
    )
    expected = f"more than {EXCLUDED:g}"
    holds: bool | None = farthest > EXCLUDED
    why = ""
    if not holds and _farthest(pooled, "exact") <= EXCLUDED + SIGMAS:
        holds = None
        why = f"with these errors not even the exact matrix is: raise systems.{name}.replicas"
    measured = Measured(farthest, 1.0, why=why)
    return Claim(f"{name}_not_the_loss", words, measured, expected, holds)


def _farthest(pooled: Rows, column: str) -> float:
    """Standard errors from the nearest multiple of H to a matrix, of the element that is farthest
    from it."""
    elements = np.array(column_of(pooled, column))
    errors = np.array(column_of(pooled, "element_stderr"))
    losses = np.array(column_of(pooled, "loss"))
    weighted = losses / errors**2
    multiple = (weighted @ elements) / (weighted @ losses)
    away = elements - multiple * losses
    z = np.abs(away / errors)
    return float(z.max())


def _alike(name: str, rows: Rows) -> list[Claim]:
    """The spread of the log-ratios of all cells' matrices, with the finite η taken out, judged by
    what is left of it without that which their errors make."""
    cells = list(grouped_by(rows, "learning_rate", "batch_size").values())
    if len(cells) < 2:
        return []
    corrected = _log_ratios(cells, "continuous")
    raw = _log_ratios(cells, "element")
    spread = float(corrected.std())
    words = (
        f"{name}: T·Σ⁻¹ at {len(cells)} pairs of η and b is one matrix: log-ratios scatter by "
        f"{100 * spread:.1f} % with the finite η taken out, {100 * float(raw.std()):.1f} % without"
    )
    error = spread / (2 * (corrected.numel() - 1)) ** 0.5
    by_errors = _variance_of_errors(cells)
    left = beyond_errors(spread, by_errors, corrected.numel())
    _, holds, _ = all_near([left], 0, ALIKE**2, "")
    why = ""
    if holds is None:
        why = (
            f"the errors alone scatter by {100 * sqrt(by_errors):.1f} %, which hides the "
            f"{100 * ALIKE:g} % that are asked: raise systems.{name}.replicas"
        )
    claim = Claim(
        f"{name}_one_matrix", words, Measured(spread, error, why=why), f"{ALIKE:g}", holds
    )
    return [claim]


def _variance_of_errors(cells: list[Rows]) -> float:
    """The variance of log-ratios that the errors of the elements make where all cells have one
    matrix: n numbers of |E|² together, E = LᵀδAL in the units of their mean A.

    The elements of A from N points of a Gaussian vary by (A_ii·A_jj + A_ij²)/N, those of E by
    (1 + δ_ij)/N: an element's own error says how many points it is worth.
    """
    mean = _matrices(cells, "continuous").mean(0)
    errors = _matrices(cells, "continuous_stderr")
    diagonal = mean.diagonal()
    per_point = diagonal[:, None] * diagonal + mean**2
    ones = 1 + torch.eye(len(mean), dtype=mean.dtype)
    squares = ones * errors**2 / per_point
    of_each = squares.sum((1, 2)) / len(mean)
    without_mean = 1 - 1 / len(cells)
    return float(of_each.mean()) * without_mean


def _matrices(cells: list[Rows], name: str) -> Tensor:
    """A column as symmetric matrices [cells, n, n]."""
    n = 1 + max(row["i"] for row in cells[0])
    matrices = torch.zeros(len(cells), n, n, dtype=torch.float64)
    for k, rows in enumerate(cells):
        for row in rows:
            matrices[k, row["i"], row["j"]] = row[name]
            matrices[k, row["j"], row["i"]] = row[name]
    return matrices


def _log_ratios(cells: list[Rows], name: str) -> Tensor:
    """log of the eigenvalues of A⁻¹A_cell, A the mean over cells, [cells, n]."""
    matrices = _matrices(cells, name)
    root = torch.linalg.cholesky(matrices.mean(0))
    halves = torch.linalg.solve_triangular(root, matrices, upper=False)
    ratios = torch.linalg.solve_triangular(root, halves.mT, upper=False)
    logs: Tensor = torch.linalg.eigvalsh(ratios).log()
    return logs


PLOTS = [
    Plot(
        "matrices",
        "The potential's curvature is the Lyapunov equation's, not the loss's",
        "Elements of T·Σ⁻¹, the curvature of Φ, mean over all η and b with the finite η taken out "
        "(marks, one standard error), against the exact ones (left) and those of the loss, H over "
        "the mean noise (right). On the line they agree. With noise that is the same in every "
        "direction the two are one.",
        "pooled",
        "exact",
        ("element", "loss"),
        by="system",
        theory=("exact", "exact"),
        labels={
            "exact": "element of T·Σ₀⁻¹, Lyapunov",
            "element": "element of T·Σ⁻¹, clouds",
            "loss": "element of H/c",
        },
        joined=False,
    ),
]
