"""The potential that SGD descends: made of the loss and of its noise, and not of η and b."""

from dataclasses import dataclass
from typing import ClassVar

from sgdtheory.studies.shared.parts import InParts


@dataclass(frozen=True)
class Potential(InParts):
    """SGD descends a potential of its own: not the loss where its noise is uneven, and the same at
    every η and b (Chaudhari & Soatto 2018).

    Φ = −T log ρ of clouds at rest, against the exact ones, and against the loss.

    Claim (Chaudhari & Soatto 2018, 1710.11029, Theorem 5): SGD minimises E[Φ] − T·S;
    Φ is made of L and C, not of η and b, and is L only where C ∝ 1. Refuted by clouds whose T·Σ⁻¹
    on a quadratic is a multiple of H although C and H do not commute, is not that of Lyapunov's
    equation, or changes with η and b once a finite η is taken out; by a density that is nearer to
    e^{−L/T} than to the equation's; by likeliest points at the loss's minima; on data by a T·Σ⁻¹
    that is H, or by a free energy that rises with Φ or falls with L. The control is C ∝ 1.

    `systems`: by name, the clouds.
    """

    on: ClassVar[str] = "potential"
    as_said: ClassVar[str] = (
        "SGD's potential is what theory makes of loss and noise, the same at every η and b, and "
        "not the loss"
    )
    spoken_of: ClassVar[tuple[str, ...]] = (
        "bowl",
        "control",
        "tilted",
        "wells",
        "plane",
        "softmax",
    )
