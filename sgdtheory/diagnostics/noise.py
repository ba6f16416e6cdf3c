"""The covariance of the gradient noise: its size, its rank, how few directions hold it, and how it
follows the Hessian."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.geometry.curvature import hessian
from sgdtheory.geometry.gradient_noise import is_additive, noise_vectors
from sgdtheory.landscape import Cloud, Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles import count_of, has_examples, states_noise
from sgdtheory.statistics.measured import Measured

TOP = 10  # directions whose share of Tr C is told
HELD = 1 << 26  # numbers of gradients held at once: half a gigabyte in float64
CHUNK = 256  # gradients taken together
# of log h, for the power law: least squares on single directions weighs the many small ones only
BINS = 10
RESAMPLES = 200  # of the bootstrap


class Draws(NamedTuple):
    """Draws of the noise with C = GᵀG/K; `exact` when they are all examples there are."""

    rows: Tensor  # G [K, n], float64
    exact: bool


@dataclass(frozen=True)
class Noise:
    """C = ⟨(g_i − ∇L)(g_i − ∇L)ᵀ⟩, the covariance of one example's gradient, at each point of a
    cloud, in float64.

    From the gradient of every example, or of a random subset where all would not fit. With batch
    norm, where single examples have none, from `draws` i.i.d. mini-batches of `batch_size`, times
    b; then, and for a subset, the share of the top ten lies between what their own draws and the
    other half of the draws say, which is in its error.

    Gives `noise_trace` Tr C; `noise_top10_share`, of its ten largest eigenvalues; `noise_rank`, how
    many are above λ_max·n·ε with ε = `noise_rank_eps` of float64, `noise_rank_float32` with that of
    float32, as published (at most `noise_examples` − 1 either way); up to `dense` parameters
    `noise_hessian_cosine` = Tr CH/(‖C‖‖H‖), and `noise_power_law` γ of C_ii ∝ h_i^γ in the
    eigenbasis of H for h > flat·h_max, through means in ten bins of log h (2602.05600). Standard
    errors: bootstrap over the draws, of γ also the scatter about the line; a rank is a count.
    """

    batch_size: PositiveInt = 128
    draws: PositiveInt = 256
    dense: NonNegativeInt = 3500
    flat: PositiveFloat = 1e-3
    seed: NonNegativeInt = 0

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        return [self._row(landscape, theta.double()) for theta in cloud]

    def _row(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        found = self._draws(landscape, theta)
        gram = (found.rows @ found.rows.T).cpu()  # [K, K]
        trace = float(gram.trace()) / max(1, len(gram))
        if not trace > 0:
            return self._nothing(
                trace, "there is no noise" if trace == 0 else "the gradients are not finite"
            )
        stated = states_noise(landscape)
        # [1 + R, K], the first are all 1
        weights = _resamples(1 if stated else len(gram), len(gram), self.seed)
        columns = _shares(gram, weights, found.exact) | _ranks(
            gram, theta.numel(), None if stated else len(gram)
        )
        return columns | self._beside_hessian(landscape, theta, found.rows, gram, weights)

    def _draws(self, landscape: Landscape, theta: Tensor) -> Draws:
        source = stream(self.seed, "noise")
        if states_noise(landscape):
            roots = noise_vectors(landscape, theta, 1, 1, source)
            return Draws(roots * len(roots) ** 0.5, True)
        if not has_examples(landscape) or not is_additive(landscape):
            size = min(self.batch_size, (count_of(landscape) or self.batch_size))
            return Draws(
                size**0.5 * noise_vectors(landscape, theta, self.draws, size, source), False
            )
        seen = min(landscape.count, max(2 * TOP, HELD // theta.numel()))
        chosen = torch.randperm(landscape.count, generator=source)[:seen].to(theta.device)
        each = [
            value_and_grad(landscape, theta.expand(len(part), -1), landscape.batch(part[:, None]))[
                1
            ]
            for part in chosen.split(CHUNK)
        ]
        rows = torch.cat(each)
        rows -= rows.mean(0)
        whole = seen == landscape.count
        return Draws(rows if whole else rows * (seen / (seen - 1)) ** 0.5, whole)

    def _beside_hessian(
        self, landscape: Landscape, theta: Tensor, rows: Tensor, gram: Tensor, weights: np.ndarray
    ) -> dict[str, Measured]:
        n = theta.numel()
        if n > self.dense:
            nothing = Measured.nothing(
                f"needs all of the Hessian: {n:,} parameters are more than dense={self.dense:,}"
            )
            return {"noise_hessian_cosine": nothing, "noise_power_law": nothing}
        whole = hessian(landscape, theta)
        along = ((rows @ whole) * rows).sum(1).cpu().numpy()  # g·Hg [K]
        # ‖C‖
        norms = np.einsum("rk,rk->r", weights @ gram.square().numpy(), weights) ** 0.5 / len(gram)
        cosines = weights @ along / len(gram) / norms / max(float(whole.norm()), 1e-300)
        h, modes = torch.linalg.eigh(whole)
        kept = h > self.flat * h[-1].clamp_min(0)
        # C_ii [1 + R, k]
        diagonal = weights @ (rows @ modes[:, kept]).square().cpu().numpy() / len(gram)
        return {
            "noise_hessian_cosine": _measured(cosines),
            "noise_power_law": _power_law(h[kept].cpu().numpy(), diagonal),
        }

    def _nothing(self, trace: float, why: str) -> dict[str, Measured]:
        names = (
            "noise_top10_share",
            "noise_rank",
            "noise_rank_float32",
            "noise_hessian_cosine",
            "noise_power_law",
        )
        first = Measured(0.0) if trace == 0 else Measured.nothing(why)
        return {"noise_trace": first, **{name: Measured.nothing(why) for name in names}}


def _shares(gram: Tensor, weights: np.ndarray, exact: bool) -> dict[str, Measured]:
    """Tr C and the top ten's share; the directions are held fixed in the bootstrap, which is right
    to first order."""
    sizes = gram.diagonal().numpy()
    values, states = torch.linalg.eigh(gram)
    inside = (values[-TOP:] * states[:, -TOP:].square()).sum(1).numpy()  # Σ_j (g_i·u_j)² [K]
    share = _measured(weights @ inside / (weights @ sizes))
    if not exact and share.value is not None:
        outside = sum(_share_of_others(gram, first) for first in (0, 1)) / 2
        halfway = (share.value + outside) / 2
        share = Measured(halfway, float(np.hypot(share.stderr or 0.0, (share.value - outside) / 2)))
    return {"noise_trace": _measured(weights @ sizes / len(gram)), "noise_top10_share": share}


def _share_of_others(gram: Tensor, first: int) -> float:
    """The share of Tr C of every other draw in the top ten directions of the rest."""
    these, those = slice(first, None, 2), slice(1 - first, None, 2)
    values, states = torch.linalg.eigh(gram[these, these])
    across = gram[those, these] @ states[:, -TOP:]  # √λ_j (g_i·u_j)
    return float(
        (across.square() / values[-TOP:].clamp_min(1e-300)).sum() / gram[those, those].trace()
    )


def _ranks(gram: Tensor, n: int, examples: int | None) -> dict[str, Measured]:
    values = torch.linalg.eigvalsh(gram)
    eps, single = (float(torch.finfo(dtype).eps) for dtype in (torch.float64, torch.float32))
    nothing = Measured.nothing("C is stated, not measured from examples")
    return {
        "noise_rank": Measured(int((values > values[-1] * n * eps).sum())),
        "noise_rank_float32": Measured(int((values > values[-1] * n * single).sum())),
        "noise_rank_eps": Measured(eps),
        "noise_examples": nothing if examples is None else Measured(examples),
    }


def _power_law(h: np.ndarray, diagonal: np.ndarray) -> Measured:
    """γ of C_ii ∝ h_i^γ, h [k] and C_ii [1 + R, k], by least squares through the means of
    log-spaced bins of h."""
    if len(h) < 3 or not h.min() > 0:
        return Measured.nothing("fewer than three curvatures above the flat ones")
    x = np.log(h)
    bins = (
        np.minimum((BINS * (x - x[0]) / (x[-1] - x[0])).astype(int), BINS - 1)
        if x[-1] > x[0]
        else np.zeros(len(x), int)
    )
    used = np.unique(bins)
    at = np.array([x[bins == b].mean() for b in used])  # [m]
    means = np.stack([diagonal[:, bins == b].mean(1) for b in used], 1)  # [1 + R, m]
    if len(used) < 3 or not means.min() > 0:
        return Measured.nothing("fewer than three bins of curvatures that have noise")
    slopes, offsets = np.polyfit(at, np.log(means).T, 1)
    away = np.log(means[0]) - slopes[0] * at - offsets[0]
    scatter = np.sqrt((away**2).sum() / (len(used) - 2) / ((at - at.mean()) ** 2).sum())
    sampled = float(slopes[1:].std(ddof=1)) if len(slopes) > 1 else 0.0
    return Measured(float(slopes[0]), float(np.hypot(scatter, sampled)))


def _resamples(kinds: int, count: int, seed: int) -> np.ndarray:
    """How often each draw is taken: once each, and, of more than one kind, in RESAMPLES bootstrap
    samples; [1 + R, K]."""
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.multinomial(count, np.full(count, 1 / count), RESAMPLES if kinds > 1 else 0)
    return np.concatenate([np.ones((1, count)), drawn.reshape(-1, count)])


def _measured(values: np.ndarray) -> Measured:
    """The first of values [1 + R], with the standard deviation of the others."""
    return Measured(float(values[0]), float(values[1:].std(ddof=1)) if len(values) > 1 else None)
