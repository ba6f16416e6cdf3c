"""The covariance of the gradient noise: its size, its rank, how many directions hold it, and how
similar it is to the Hessian."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.diagnostics.blocks import Expressions, beside_blocks, refuse_unmatched
from sgdtheory.diagnostics.noise_beside_hessian import beside_hessian
from sgdtheory.diagnostics.noise_draws import Draws
from sgdtheory.geometry.gradient_noise import example_gradients, is_additive, noise_vectors
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.closed_forms import states_noise
from sgdtheory.roles.examples import count_of, has_examples
from sgdtheory.statistics.bootstrap import RESAMPLES, Array, of_resamples, resample_counts
from sgdtheory.statistics.measured import Measured

TOP = 10  # directions whose share of Tr C is reported
HELD = 1 << 26  # numbers of gradients held at once: half a gigabyte in float64
FEWEST = 10  # examples: of fewer a bootstrap's error of a variance is off by more than a fifth
CHUNK = 256  # gradients taken together


@dataclass(frozen=True)
class Noise:
    """C = ⟨(g_i − ∇L)(g_i − ∇L)ᵀ⟩, the covariance of one example's gradient, at each point of a
    cloud, in float64.

    From the gradient of every example, or of a random subset where all would not fit. With batch
    norm, where single examples have none, from `draws` i.i.d. mini-batches of `batch_size`, times
    b; then, and for a subset, the share of the top ten lies between what their own draws and the
    other half of the draws say, which is in its error, and ‖C‖ is of pairs of different draws.

    Gives `noise_trace` Tr C; `noise_top10_share`, of its ten largest eigenvalues; `noise_rank`, how
    many are above λ_max·n·ε with ε = `noise_rank_eps` of float64, `noise_rank_float32` with that of
    float32, as published (at most `noise_examples` − 1 of all examples; of draws half of which have
    fewer there is no number); up to `dense` parameters
    `noise_hessian_cosine` = Tr CH/(‖C‖‖H‖), and `noise_power_law` γ of C_ii ∝ h_i^γ in the
    eigenbasis of H, h the curvatures less λ, for h > flat·h_max where there is noise, through means
    in ten bins of log h (2602.05600). Standard errors: bootstrap over the draws, of γ also the
    scatter about the line, a jackknife of the cosine of draws; a rank is a count.

    `parameters`: regular expressions on the names of parameters; the same columns of the rows and
    columns of C (and of H) that each matches stand beside, as `noise_trace[<expression>]`.
    """

    by: ClassVar[str] = "curvatures less λ, pairs of draws"

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
        trace = float(draws.sizes.sum()) / max(1, len(draws))
        if not trace > 0:
            return _no_columns(trace)
        examples = None
        if not states_noise(landscape):
            examples = len(draws)
            if examples < FEWEST:
                return _unknown(f"of {examples} examples; the error of C needs {FEWEST}")
        weights = _weights(examples, len(draws), self.seed)
        shares = _shares(draws, weights)
        ranks = _ranks(draws, examples)
        beside = self._beside_hessian(landscape, theta, draws, weights)
        return shares | ranks | beside

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

    def _beside_hessian(
        self, landscape: Landscape, theta: Tensor, draws: Draws, weights: Array
    ) -> dict[str, Measured]:
        n = theta.numel()
        if n > self.dense:
            too_large = Measured.nothing(
                f"needs all of the Hessian: {n:,} parameters are more than dense={self.dense:,}"
            )
            return {"noise_hessian_cosine": too_large, "noise_power_law": too_large}
        return beside_hessian(landscape, theta, draws, weights, self.flat)


def _no_columns(trace: float) -> dict[str, Measured]:
    if trace == 0:
        return {**_unknown("there is no noise"), "noise_trace": Measured(0.0)}
    return _unknown("the gradients are not finite")


def _unknown(why: str) -> dict[str, Measured]:
    unknown = Measured.nothing(why)
    return {
        "noise_trace": unknown,
        "noise_top10_share": unknown,
        "noise_rank": unknown,
        "noise_rank_float32": unknown,
        "noise_hessian_cosine": unknown,
        "noise_power_law": unknown,
    }


def _shares(draws: Draws, weights: Array) -> dict[str, Measured]:
    """Tr C and the share of the top ten directions, which are the same in all resamples: right to
    first order."""
    traces = weights @ draws.sizes
    share = of_resamples(weights @ _inside(draws, draws) / traces)
    if not draws.exact and share.value is not None:
        halves = [Draws(draws.rows[k::2], exact=False) for k in (0, 1)]
        outside = (_share_of_others(*halves) + _share_of_others(*reversed(halves))) / 2
        middle = (share.value + outside) / 2
        half_difference = (share.value - outside) / 2
        error = np.hypot(share.stderr or 0.0, half_difference)
        share = Measured(middle, float(error))
    trace = of_resamples(traces / len(draws))
    return {"noise_trace": trace, "noise_top10_share": share}


def _inside(draws: Draws, others: Draws) -> Array:
    """Σ_j (g·u_j)² of each of K draws, u_j the top ten directions of others, [K]."""
    across = draws.rows @ others.directions(TOP)
    inside: Array = across.square().sum(1).cpu().numpy()
    return inside


def _share_of_others(draws: Draws, others: Draws) -> float:
    """The share of Tr C of draws in the top ten directions of others."""
    return float(_inside(draws, others).sum() / draws.sizes.sum())


def _ranks(draws: Draws, examples: int | None) -> dict[str, Measured]:
    """How many eigenvalues are not rounding; of draws that are not all there is no number where
    half of them have fewer, for more would have more."""
    eps = float(torch.finfo(torch.float64).eps)
    single = float(torch.finfo(torch.float32).eps)
    of_half = draws  # all that there are have as many whatever is drawn
    if not draws.exact and examples is not None:
        of_half = Draws(draws.rows[::2], exact=False)
    n = draws.rows.shape[1]

    def rank(rounding: float) -> Measured:
        found = _count_above(draws.values, n * rounding)
        if _count_above(of_half.values, n * rounding) == found:
            return Measured(found)
        return Measured.nothing(
            f"{found} of {len(draws)} draws, and fewer of half of them: more would have more"
        )

    count = Measured.nothing("C is stated, not measured from examples")
    if examples is not None:
        count = Measured(examples)
    return {
        "noise_rank": rank(eps),
        "noise_rank_float32": rank(single),
        "noise_rank_eps": Measured(eps),
        "noise_examples": count,
    }


def _count_above(values: Tensor, share: float) -> int:
    """How many of ascending values [K] are above a share of the largest."""
    return int((values > values[-1] * share).sum())


def _weights(examples: int | None, count: int, seed: int) -> Array:
    """How often each of `count` draws is taken: once each, then in bootstrap resamples; [1 + R,
    count]. None are drawn where the noise is stated, or is one example's."""
    resamples = 0
    if examples is not None and examples > 1:
        resamples = RESAMPLES
    once = np.ones((1, count))
    return np.concatenate([once, resample_counts(count, resamples, seed)])
