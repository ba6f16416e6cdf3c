"""The claim of a sweep of Adam besides its slope: how T depends on b alone."""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Row
from sgdtheory.statistics.tolerance import all_near

CLOSE = 0.03  # of an exponent to −1/2
LEAST = 4  # cells for three unknowns
Cells = Sequence[Row]


def adam_claims(cells: Cells) -> list[Claim]:
    """T ∝ b^(−1/2) at equal η, where SGD has b⁻¹; nothing of a sweep of SGD."""
    if cells[0].get("optimiser") != "adam":
        return []
    exponent = _exponent_of_size(cells)
    expected = f"−1/2 within {CLOSE}; SGD's is −1"
    if exponent.value is None:
        words = "how Adam's T depends on b alone is not known"
        return [Claim("exponent_of_b", words, exponent, expected, None)]
    words = f"at equal η Adam's T falls as b^({exponent})"
    judged = all_near([exponent], -0.5, CLOSE, "raise replicas, or add batch sizes")
    measured = exponent._replace(why=judged.why)
    return [Claim("exponent_of_b", words, measured, expected, judged.holds)]


def _exponent_of_size(cells: Cells) -> Measured:
    """The weighted least-squares exponent of b in T = c·η^α·b^β, its error × √max(1, χ²/dof)."""
    design = []
    logs = []
    precisions = []
    for cell in cells:
        number = cell["temperature"].get("excess_loss", {})
        value = number.get("value")
        stderr = number.get("stderr")
        if not cell["harmonic"] or not value or not stderr or value <= 0:
            continue
        design.append([np.log(cell["batch_size"]), np.log(cell["learning_rate"]), 1.0])
        logs.append(np.log(value))
        precisions.append(value / stderr)  # 1/σ(log T)
    if len(logs) < LEAST or np.linalg.matrix_rank(design) < 3:
        return Measured.nothing(f"{len(logs)} harmonic cells are too few to tell η from b")
    weights = np.array(precisions)
    rows = np.array(design) * weights[:, None]
    normal = np.linalg.inv(rows.T @ rows)
    solution = normal @ rows.T @ (np.array(logs) * weights)
    residuals = np.array(logs) * weights - rows @ solution
    chi2 = float(residuals @ residuals) / (len(logs) - 3)
    stderr = sqrt(normal[0, 0] * max(1.0, chi2))
    return Measured(float(solution[0]), stderr)
