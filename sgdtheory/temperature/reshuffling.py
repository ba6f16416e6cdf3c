"""The temperature of additive noise under reshuffled epochs, exactly."""

from itertools import product

import numpy as np

from sgdtheory.fokker_planck.law import noise_temperature
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.trajectory import Array

FLAT = 1e-4  # least x = ηhm/(1−μ) that is told from 0: T_j/T_law there is ⅓x from its value at 0
# of the stable limit ηh = 2(1+μ): from there on a mode has no T, and just below it all its noise
STABLE = 0.999
# least distance of a mode's two roots, as a quarter of its square: where they meet sums are 0/0
APART = 1e-8


def exact_epoch_factor(
    reference: ReferenceMinimum,
    rate: float,
    size: int,
    count: int,
    momentum: float = 0.0,
) -> float:
    """Σ_j w_j·T_j/T_law of additive noise, exactly: finite steps, momentum, and the examples that
    fill no batch and are left out.

    In a mode θ_k+1 = (1+μ−ηh)θ_k − μθ_k−1 − ηξ_k the m = ⌊N/b⌋ batches of an epoch have ⟨ξ²⟩ =
    (C/b)(N−b)/(N−1) and ⟨ξ_jξ_k⟩ = −C/(N−1). With the roots p of p² − (1+μ−ηh)p + μ = 0, θ = Σ_p
    y_p, y_p ← p·y_p + g_p·ξ_k, g_p = ηp/(p′−p), p′ the other. So after k steps of an epoch ⟨y_p
    y_q⟩ = (pq)ᵏv + g_p g_q[(⟨ξ²⟩ − ⟨ξξ′⟩)Σ(pq)ⁱ + ⟨ξξ′⟩Σpⁱ·Σqⁱ], sums over i < k, v its value at
    the epoch's start, the same at the next; the mean over k of ⟨θ²⟩, times h(1 − ηh/2(1+μ))/C, is
    T_j. As m → ∞ at fixed x = ηhN/b(1−μ) it is r(x); as x → 0 it is (N−mb)/(N−1), what is left out
    and so is white.
    """
    limit = 2 * (1 + momentum) / rate
    steps = count // size
    h = reference.spectrum.numpy()
    h = np.clip(h, min(FLAT * (1 - momentum) / (rate * steps), STABLE * limit), STABLE * limit)
    covariance = -1 / (count - 1)  # ⟨ξξ′⟩/C
    own = (count - size) / (size * (count - 1)) - covariance  # (⟨ξ²⟩ − ⟨ξξ′⟩)/C
    half = (1 + momentum - rate * h) / 2
    square = half**2 - momentum
    apart = np.sqrt(np.where(np.abs(square) < APART, APART, square) + 0j)
    gains = (-rate * (half + apart) / (2 * apart), rate * (half - apart) / (2 * apart))
    slow = 1 - half + apart
    lost = (rate * h / slow, slow)  # 1 − p: of the roots near 1 their difference would be rounding
    second_moment = np.zeros_like(h)
    for (p, gain), (q, other) in product(zip(lost, gains, strict=True), repeat=2):
        both = p + q - p * q  # 1 − pq
        of_p, of_q, of_both = (_lost_in(steps, part) for part in (p, q, both))
        at_end = own * of_both / both + covariance * of_p * of_q / (p * q)
        left = of_both / (steps * both)  # the mean of (pq)ᵏ over an epoch, and of pᵏ, qᵏ
        means = left - of_p / (steps * p) - of_q / (steps * q)
        fresh = own * (1 - left) / both + covariance * (1 + means) / (p * q)
        second_moment += (gain * other * (left * at_end / of_both + fresh)).real
    temperatures = h * (1 - h / limit) * second_moment
    law = noise_temperature(rate, size, momentum)
    return float((reference.weights.numpy() * temperatures).sum() / law)


def _lost_in(steps: int, lost: Array) -> Array:
    """1 − pᵐ from 1 − p [m], complex, to the rounding of the smaller."""
    with np.errstate(divide="ignore"):  # p = 0, where nothing is left
        size = 0.5 * np.log1p(lost.real * (lost.real - 2) + lost.imag**2)
    angle = np.arctan2(-lost.imag, 1 - lost.real)
    lost_in: Array = -np.expm1(steps * size + 1j * (steps * angle))
    return lost_in
