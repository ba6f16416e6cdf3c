"""The covariance of the gradient noise: its size, its rank, how many directions hold it, and how
similar it is to the Hessian."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.geometry.gradient_noise import example_gradients, is_additive, noise_vectors
from sgdtheory.geometry.hessian import hessian
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.closed_forms import states_noise
from sgdtheory.roles.examples import count_of, has_examples
from sgdtheory.statistics.bootstrap import RESAMPLES, Array, resample_counts
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.power_law import binned_exponent

TOP = 10  # directions whose share of Tr C is reported
HELD = 1 << 26  # numbers of gradients held at once: half a gigabyte in float64
CHUNK = 256  # gradients taken together


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
        """One row of columns for each point of a cloud [P, n]."""
        return [self._row(landscape, theta.double()) for theta in cloud]

    def _row(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        draws = self._draws(landscape, theta)
        gram = (draws.rows @ draws.rows.T).cpu()  # [K, K]
        trace = float(gram.trace()) / max(1, len(gram))
        if not trace > 0:
            return _no_columns(trace)
        examples = None
        if not states_noise(landscape):
            examples = len(gram)
        weights = _weights(examples, len(gram), self.seed)
        columns = _shares(gram, weights, draws.exact) | _ranks(gram, theta.numel(), examples)
        return columns | self._against_hessian(landscape, theta, draws.rows, gram, weights)

    def _draws(self, landscape: Landscape, theta: Tensor) -> Draws:
        source = stream(self.seed, "noise")
        if states_noise(landscape):
            roots = noise_vectors(landscape, theta, 1, 1, source)
            return Draws(roots * len(roots) ** 0.5, True)
        if not has_examples(landscape) or not is_additive(landscape):
            size = min(self.batch_size, (count_of(landscape) or self.batch_size))
            noise = noise_vectors(landscape, theta, self.draws, size, source)
            return Draws(size**0.5 * noise, exact=False)
        taken = min(landscape.count, max(2 * TOP, HELD // theta.numel()))
        chosen = torch.randperm(landscape.count, generator=source)[:taken].to(theta.device)
        chunks = [example_gradients(landscape, theta, indices) for indices in chosen.split(CHUNK)]
        rows = torch.cat(chunks)
        rows -= rows.mean(0)
        if taken == landscape.count:
            return Draws(rows, exact=True)
        return Draws(rows * (taken / (taken - 1)) ** 0.5, exact=False)

    def _against_hessian(
        self,
        landscape: Landscape,
        theta: Tensor,
        rows: Tensor,
        gram: Tensor,
        weights: Array,
    ) -> dict[str, Measured]:
        n = theta.numel()
        if n > self.dense:
            too_large = Measured.nothing(
                f"needs all of the Hessian: {n:,} parameters are more than dense={self.dense:,}"
            )
            return {"noise_hessian_cosine": too_large, "noise_power_law": too_large}
        curvature = hessian(landscape, theta)
        along = ((rows @ curvature) * rows).sum(1).cpu().numpy()  # g·Hg [K]
        squares = np.einsum("rk,rk->r", weights @ gram.square().numpy(), weights)
        norms = squares**0.5 / len(gram)  # ‖C‖ [1 + R]
        size = max(float(curvature.norm()), 1e-300)  # ‖H‖
        cosines = weights @ along / len(gram) / norms / size
        h, modes = torch.linalg.eigh(curvature)
        steep = h > self.flat * h[-1].clamp_min(0)
        projections = (rows @ modes[:, steep]).square().cpu().numpy()
        diagonal = weights @ projections / len(gram)  # C_ii [1 + R, k]
        return {
            "noise_hessian_cosine": _measured(cosines),
            "noise_power_law": binned_exponent(h[steep].cpu().numpy(), diagonal),
        }


def _no_columns(trace: float) -> dict[str, Measured]:
    why = "the gradients are not finite"
    if trace == 0:
        why = "there is no noise"
    names = (
        "noise_top10_share",
        "noise_rank",
        "noise_rank_float32",
        "noise_hessian_cosine",
        "noise_power_law",
    )
    first = Measured(0.0) if trace == 0 else Measured.nothing(why)
    return {"noise_trace": first, **{name: Measured.nothing(why) for name in names}}


def _shares(gram: Tensor, weights: Array, exact: bool) -> dict[str, Measured]:
    """Tr C and the share of the top ten directions, which are the same in all resamples: right to
    first order."""
    sizes = gram.diagonal().numpy()
    values, states = torch.linalg.eigh(gram)
    squares = values[-TOP:] * states[:, -TOP:].square()
    inside = squares.sum(1).numpy()  # Σ_j (g_i·u_j)² [K]
    share = _measured(weights @ inside / (weights @ sizes))
    if not exact and share.value is not None:
        outside = sum(_share_of_others(gram, first) for first in (0, 1)) / 2
        error = float(np.hypot(share.stderr or 0.0, (share.value - outside) / 2))
        share = Measured((share.value + outside) / 2, error)
    return {"noise_trace": _measured(weights @ sizes / len(gram)), "noise_top10_share": share}


def _share_of_others(gram: Tensor, first: int) -> float:
    """The share of Tr C of every other draw in the top ten directions of the rest."""
    these = slice(first, None, 2)
    those = slice(1 - first, None, 2)
    values, states = torch.linalg.eigh(gram[these, these])
    across = gram[those, these] @ states[:, -TOP:]  # √λ_j (g_i·u_j)
    inside = (across.square() / values[-TOP:].clamp_min(1e-300)).sum()
    return float(inside / gram[those, those].trace())


def _ranks(gram: Tensor, n: int, examples: int | None) -> dict[str, Measured]:
    values = torch.linalg.eigvalsh(gram)
    eps = float(torch.finfo(torch.float64).eps)
    single = float(torch.finfo(torch.float32).eps)
    stated = Measured.nothing("C is stated, not measured from examples")
    return {
        "noise_rank": Measured(int((values > values[-1] * n * eps).sum())),
        "noise_rank_float32": Measured(int((values > values[-1] * n * single).sum())),
        "noise_rank_eps": Measured(eps),
        "noise_examples": stated if examples is None else Measured(examples),
    }


def _weights(examples: int | None, count: int, seed: int) -> Array:
    """How often each of `count` draws is taken: once each, then in bootstrap resamples; [1 + R,
    count]. None are drawn where the noise is stated, or is one example's."""
    resamples = 0
    if examples is not None and examples > 1:
        resamples = RESAMPLES
    return np.concatenate([np.ones((1, count)), resample_counts(count, resamples, seed)])


def _measured(values: Array) -> Measured:
    """The first of values [1 + R], with the standard deviation of the others."""
    if len(values) == 1:
        return Measured(float(values[0]))
    return Measured(float(values[0]), float(values[1:].std(ddof=1)))
