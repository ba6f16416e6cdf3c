"""The temperature of additive noise under reshuffled epochs, exactly."""

import numpy as np

from sgdtheory.temperature.reference_minimum import ReferenceMinimum


def exact_epoch_factor(
    reference: ReferenceMinimum,
    rate: float,
    size: int,
    count: int,
) -> float:
    """Σ_j w_j·T_j/T_law of additive noise, exactly: finite steps, and the examples that fill no
    batch and are left out.

    In a mode θ ← aθ − ηξ_k, a = 1 − ηh, the m = ⌊N/b⌋ batches of an epoch have ⟨ξ²⟩ =
    (C/b)(N−b)/(N−1) and ⟨ξ_jξ_k⟩ = −C/(N−1). So after k steps of an epoch ⟨θ²⟩ = a²ᵏv + η²[(⟨ξ²⟩ −
    ⟨ξξ′⟩)Σa²ⁱ + ⟨ξξ′⟩(Σaⁱ)²], sums over i < k, v its value at the epoch's start, the same at the
    next; the mean over k, times h(1 − ηh/2)/C, is T_j. As m → ∞ at fixed x = ηhN/b it is r(x).
    """
    h = np.clip(reference.spectrum.numpy(), 1e-5, None)
    steps, a = count // size, 1 - rate * h
    variance = (count - size) / (size * (count - 1))  # ⟨ξ²⟩/C
    covariance = -1 / (count - 1)  # ⟨ξξ′⟩/C
    end, end_squared = a**steps, a ** (2 * steps)
    # means of aᵏ and a²ᵏ over an epoch
    mean = (1 - end) / (steps * (1 - a))
    mean_squared = (1 - end_squared) / (steps * (1 - a**2))
    white = (variance - covariance) * (1 - mean_squared) / (1 - a**2)
    fresh = white + covariance * (1 - 2 * mean + mean_squared) / (1 - a) ** 2
    white_at_end = (variance - covariance) * (1 - end_squared) / (1 - a**2)
    at_end = white_at_end + covariance * ((1 - end) / (1 - a)) ** 2
    start = at_end / (1 - end_squared)
    second_moment = rate**2 * (mean_squared * start + fresh)
    temperatures = h * (1 - rate * h / 2) * second_moment / (rate / (2 * size))
    return float((reference.weights.numpy() * temperatures).sum())
