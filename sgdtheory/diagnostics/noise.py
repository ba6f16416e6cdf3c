"""The covariance of the gradient noise: its size, its rank, how many directions hold it, and how
similar it is to the Hessian."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.diagnostics.blocks import Expressions, beside_blocks, refuse_unmatched
from sgdtheory.geometry.gradient_noise import example_gradients, is_additive, noise_vectors
from sgdtheory.geometry.hessian import hessian
from sgdtheory.protocol import Cloud, Landscape
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
    float32, as published (at most `noise_examples` − 1 of all examples; of draws that are all
    independent there is no number); up to `dense` parameters
    `noise_hessian_cosine` = Tr CH/(‖C‖‖H‖), and `noise_power_law` γ of C_ii ∝ h_i^γ in the
    eigenbasis of H for h > flat·h_max, through means in ten bins of log h (2602.05600). Standard
    errors: bootstrap over the draws, of γ also the scatter about the line; a rank is a count.

    `parameters`: regular expressions on the names of parameters; the same columns of the rows and
    columns of C (and of H) that each matches stand beside, as `noise_trace[<expression>]`.
    """

    batch_size: PositiveInt = 128
    draws: PositiveInt = 256
    dense: NonNegativeInt = 3500
    flat: PositiveFloat = 1e-3
    seed: NonNegativeInt = 0
    parameters: Expressions = None

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of a cloud [P, n]."""
        return [self._row(landscape, theta.double()) for theta in cloud]

    def refuse(self, landscape: Landscape, key: str) -> None:
        """UserError where a block has no parameters."""
        refuse_unmatched(landscape, self.parameters, f"{key}.parameters")

    def _row(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        return beside_blocks(self._columns, landscape, theta, self.parameters)

    def _columns(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        draws = self._draws(landscape, theta)
        gram = (draws.rows @ draws.rows.T).cpu()  # [K, K]
        trace = float(gram.trace()) / max(1, len(gram))
        if not trace > 0:
            return _no_columns(trace)
        examples = None
        if not states_noise(landscape):
            examples = len(gram)
        weights = _weights(examples, len(gram), self.seed)
        shares = _shares(gram, weights, draws.exact)
        ranks = _ranks(gram, theta.numel(), examples, draws.exact)
        against = self._against_hessian(landscape, theta, draws.rows, gram, weights)
        return shares | ranks | against

    def _draws(self, landscape: Landscape, theta: Tensor) -> Draws:
        source = stream(self.seed, "noise")
        if states_noise(landscape):
            roots = noise_vectors(landscape, theta, 1, 1, source)
            return Draws(roots * len(roots) ** 0.5, True)
        if not has_examples(landscape) or not is_additive(landscape):
            count = count_of(landscape) or self.batch_size
            size = min(self.batch_size, count)
            noise = noise_vectors(landscape, theta, self.draws, size, source)
            return Draws(size**0.5 * noise, exact=False)
        held = max(2 * TOP, HELD // theta.numel())
        taken = min(landscape.count, held)
        order = torch.randperm(landscape.count, generator=source)
        chosen = order[:taken].to(theta.device)
        chunks = [example_gradients(landscape, theta, indices) for indices in chosen.split(CHUNK)]
        rows = torch.cat(chunks)
        rows -= rows.mean(0)
        if taken == landscape.count:
            return Draws(rows, exact=True)
        unbiased = taken / (taken - 1)
        return Draws(rows * unbiased**0.5, exact=False)

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
        count = len(gram)
        curvature = hessian(landscape, theta)
        products = ((rows @ curvature) * rows).sum(1)  # g·Hg [K]
        along = products.cpu().numpy()
        resampled = weights @ gram.square().numpy()
        squares = np.einsum("rk,rk->r", resampled, weights)
        norms = squares**0.5 / count  # ‖C‖ [1 + R]
        size = max(float(curvature.norm()), 1e-300)  # ‖H‖
        cosines = weights @ along / count / norms / size
        h, modes = torch.linalg.eigh(curvature)
        highest = h[-1].clamp_min(0)
        steep = h > self.flat * highest
        projections = (rows @ modes[:, steep]).square()
        diagonal = weights @ projections.cpu().numpy() / count  # C_ii [1 + R, k]
        steep_h = h[steep].cpu().numpy()
        return {
            "noise_hessian_cosine": _measured(cosines),
            "noise_power_law": binned_exponent(steep_h, diagonal),
        }


def _no_columns(trace: float) -> dict[str, Measured]:
    unknown = Measured.nothing("the gradients are not finite")
    first = unknown
    if trace == 0:
        unknown = Measured.nothing("there is no noise")
        first = Measured(0.0)
    return {
        "noise_trace": first,
        "noise_top10_share": unknown,
        "noise_rank": unknown,
        "noise_rank_float32": unknown,
        "noise_hessian_cosine": unknown,
        "noise_power_law": unknown,
    }


def _shares(gram: Tensor, weights: Array, exact: bool) -> dict[str, Measured]:
    """Tr C and the share of the top ten directions, which are the same in all resamples: right to
    first order."""
    sizes = gram.diagonal().numpy()
    values, states = torch.linalg.eigh(gram)
    squares = values[-TOP:] * states[:, -TOP:].square()
    inside = squares.sum(1).numpy()  # Σ_j (g_i·u_j)² [K]
    traces = weights @ sizes
    share = _measured(weights @ inside / traces)
    if not exact and share.value is not None:
        outside = (_share_of_others(gram, 0) + _share_of_others(gram, 1)) / 2
        middle = (share.value + outside) / 2
        half_difference = (share.value - outside) / 2
        error = np.hypot(share.stderr or 0.0, half_difference)
        share = Measured(middle, float(error))
    trace = _measured(traces / len(gram))
    return {"noise_trace": trace, "noise_top10_share": share}


def _share_of_others(gram: Tensor, first: int) -> float:
    """The share of Tr C of every other draw in the top ten directions of the rest."""
    these = slice(first, None, 2)
    those = slice(1 - first, None, 2)
    values, states = torch.linalg.eigh(gram[these, these])
    across = gram[those, these] @ states[:, -TOP:]  # √λ_j (g_i·u_j)
    top = values[-TOP:].clamp_min(1e-300)
    inside = (across.square() / top).sum()
    trace = gram[those, those].trace()
    return float(inside / trace)


def _ranks(gram: Tensor, n: int, examples: int | None, exact: bool) -> dict[str, Measured]:
    """How many eigenvalues are not rounding; of draws that are all independent no number, for more
    draws would find more."""
    values = torch.linalg.eigvalsh(gram)
    eps = float(torch.finfo(torch.float64).eps)
    single = float(torch.finfo(torch.float32).eps)
    scale = values[-1] * n
    most = len(gram)

    def rank(rounding: float) -> Measured:
        found = int((values > scale * rounding).sum())
        if found < most or exact or examples is None:
            return Measured(found)
        return Measured.nothing(f"at least {found}: all draws are independent; take more of them")

    count = Measured.nothing("C is stated, not measured from examples")
    if examples is not None:
        count = Measured(examples)
    return {
        "noise_rank": rank(eps),
        "noise_rank_float32": rank(single),
        "noise_rank_eps": Measured(eps),
        "noise_examples": count,
    }


def _weights(examples: int | None, count: int, seed: int) -> Array:
    """How often each of `count` draws is taken: once each, then in bootstrap resamples; [1 + R,
    count]. None are drawn where the noise is stated, or is one example's."""
    resamples = 0
    if examples is not None and examples > 1:
        resamples = RESAMPLES
    once = np.ones((1, count))
    return np.concatenate([once, resample_counts(count, resamples, seed)])


def _measured(values: Array) -> Measured:
    """The first of values [1 + R], with the standard deviation of the others."""
    first = float(values[0])
    if len(values) == 1:
        return Measured(first)
    error = values[1:].std(ddof=1)
    return Measured(first, float(error))
