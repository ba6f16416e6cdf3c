"""The ε of Adam where it is seen beside the noise, for which the law of its temperature is not."""

from math import sqrt

from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.temperature.cell import SecondMoment
from sgdtheory.temperature.reference_minimum import ReferenceMinimum

SEEN = 0.02  # of the noise that ε takes off T: T ∝ b^(−1/2) and R = 1 are judged to .03 and .05
HALVINGS = 60


def refuse_epsilon(ground: ReferenceMinimum, moment: SecondMoment | None, size: int) -> None:
    """UserError where ε is not ≪ √ŝ = σ/√b at the minimum: the law η/2√b, and the coordinates that
    it holds in, are of steps m/√ŝ. `size` b: the largest of the sweep, where ŝ is least."""
    if moment is None or ground.scale is None or not ground.noise_trace > 0:
        return
    taken = _taken(ground, moment.epsilon, size)
    if taken <= SEEN:
        return
    least, most = 0.0, moment.epsilon
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        least, most = (middle, most) if _taken(ground, middle, size) <= SEEN else (least, middle)
    raise UserError(
        f"sgd.epsilon={moment.epsilon:g} is not small beside √ŝ = σ/√b at the minimum: it takes "
        f"{100 * taken:.0f} % off T at b = {size}, and the law η/2√b is of ε ≪ σ/√b; use "
        f"sgd.epsilon={_rounded_down(least)} or less, or smaller batches"
    )


def _taken(ground: ReferenceMinimum, epsilon: float, size: int) -> float:
    """Σ_i σ_i(1 − r_i)/Σ_i σ_i, r = √ŝ/(√ŝ + ε), √ŝ = σ/√b: what ε takes off T in the units of the
    noise, Σσ_i.

    Parameters without noise have the scale of the noisiest (`noise_scale`) and no weight: what
    Σσ_i has besides the others is that of the noisiest.
    """
    assert ground.scale is not None
    sigma = ground.scale.square()
    largest = sigma.max()
    others = sigma[sigma < largest]
    rest = (ground.noise_trace - others.sum()).clamp_min(0)

    def off(deviations: Tensor) -> Tensor:
        by_epsilon: float = epsilon * sqrt(size)
        return by_epsilon / (deviations + by_epsilon)

    total = rest + others.sum()
    return float(((others * off(others)).sum() + rest * off(largest)) / total)


def _rounded_down(number: float) -> str:
    """One digit, no more than it is: 0.0002 of 2.9e-4."""
    digit, power = f"{number:.6e}".split("e")
    return f"{float(digit[0] + 'e' + power):g}"
