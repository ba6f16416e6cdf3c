"""The covariance of the gradient noise beside all of the Hessian: how similar the two are, and the
law between their sizes by direction."""

import torch
from torch import Tensor

from sgdtheory.diagnostics.noise_draws import Draws
from sgdtheory.geometry.hessian import hessian
from sgdtheory.protocol import Landscape
from sgdtheory.roles.facts import decay_of_curvature
from sgdtheory.statistics.bootstrap import Array, of_resamples
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.power_law import binned_exponent


def beside_hessian(
    landscape: Landscape, theta: Tensor, draws: Draws, weights: Array, flat: float
) -> dict[str, Measured]:
    """cos(C, H) and γ at a point [n]; `weights` of the draws in the sample and its resamples
    [1 + R, K]."""
    curvature = hessian(landscape, theta)
    products = ((draws.rows @ curvature) * draws.rows).sum(1)
    along = products.cpu().numpy()  # g·Hg [K]
    size = max(float(curvature.norm()), 1e-300)  # ‖H‖
    if draws.exact:
        cosine = _of_all(along, draws.resampled(weights), size, weights)
    else:
        cosine = _of_some(along, draws.squares - draws.sizes**2, size)
    decay = decay_of_curvature(landscape)
    return {
        "noise_hessian_cosine": cosine,
        "noise_power_law": _law(draws.rows, curvature, decay, weights, flat),
    }


def _of_all(along: Array, resampled: Array, size: float, weights: Array) -> Measured:
    """⟨g·Hg⟩/(‖C‖‖H‖) of all examples; `along` g·Hg [K], `resampled` K²‖C‖² [1 + R], `size` ‖H‖."""
    count = len(along)
    norms = resampled.clip(0) ** 0.5 / count  # ‖C‖ [1 + R]
    cosines = weights @ along / count / norms / size
    return of_resamples(cosines)


def _of_some(along: Array, of_others: Array, size: float) -> Measured:
    """The same of K draws: ‖C‖² is ⟨(g_i·g_j)²⟩ over pairs of different draws, for a draw beside
    itself adds ⟨|g|⁴⟩/K; `of_others` Σ_{j≠i} (g_i·g_j)² [K]. The error is a jackknife's, whose
    resamples hold no draw twice either.
    """
    count = len(along)
    if count < 3:
        return Measured.nothing("fewer than three draws")
    total = of_others.sum()
    norm = (total / (count * (count - 1))) ** 0.5
    left = total - 2 * of_others  # without draw i
    norms = (left / ((count - 1) * (count - 2))) ** 0.5
    if not norms.min() > 0:
        return Measured.nothing("the draws are orthogonal to one another: too few; take more")
    means = (along.sum() - along) / (count - 1)
    cosines = means / norms / size
    spread = (count - 1) ** 2 / count * cosines.var(ddof=1)
    return Measured(float(along.mean() / norm / size), float(spread**0.5))


def _law(rows: Tensor, curvature: Tensor, decay: float, weights: Array, flat: float) -> Measured:
    """γ of C_ii ∝ h_i^γ, h the curvatures of the data loss, in its directions that are not flat:
    one of which the data say nothing has curvature λ and no noise, and is no point of a law.
    Neither is another whose noise is rounding."""
    curvatures, modes = torch.linalg.eigh(curvature)
    h = curvatures - decay
    rounding = len(h) * torch.finfo(h.dtype).eps
    of_curvatures = rounding * float(curvatures.abs().max())
    edge = max(flat * float(h[-1]), of_curvatures)
    projections = (rows @ modes).square()
    noise = projections.mean(0)  # C_ii [n]
    is_seen = (h > edge) & (noise > rounding * noise.max())
    diagonal = weights @ projections[:, is_seen].cpu().numpy() / len(rows)  # [1 + R, k]
    return binned_exponent(h[is_seen].cpu().numpy(), diagonal, of_curvatures)
