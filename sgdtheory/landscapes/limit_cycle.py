"""A force that drives a cloud round between two wells and leaves its steady state as it is."""

from dataclasses import dataclass
from math import pi, sqrt

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.rotation import Stirring, turned
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.protocol import Cloud, Landscape

KNOWN = (0.25, 2, 1.0, None)  # height, directions, stiffness, ambient of the double well


@dataclass(frozen=True)
class LimitCycle(Stirring):
    """dθ = −∇Φ dt + j(θ) dt + √2 dW with j = λ·e^{Φ − r⁴/4}·Jθ, Φ = (θ₁² − 1)²/4 + θ₂²/2, λ the
    `strength`.

    Example 19 of Chaudhari & Soatto 2018 (1710.11029): ρ_ss·j = λe^{−r⁴/4}Jθ/Z has no divergence,
    so ρ_ss = e^{−Φ}/Z for every λ while the points circle round. The stochastic area grows at
    ∫ρ_ss(θ₁j₂ − θ₂j₁) = (λ/Z)∫r²e^{−r⁴/4}d²θ = 2πλ/Z. For D = 1 and that Φ alone: `double_well`
    with directions=2, height=.25, stiffness=1, and η·noise/2b(1−μ) = 1.
    """

    strength: float

    def force(self, cloud: Cloud, losses: Tensor, gradients: Tensor) -> Tensor:
        """∇Φ less the force of the cycle, [P, 2], at points [P, 2]."""
        x = cloud[:, 0].square()
        y = cloud[:, 1].square()
        exponent = 0.25 - 0.5 * x + 0.5 * y - 0.5 * x * y - 0.25 * y.square()  # Φ − r⁴/4
        lift = torch.exp(exponent)[:, None]  # at most √e
        return gradients - self.strength * lift * turned(cloud)

    def area_rate(self, landscape: Landscape, temperature: float) -> float:
        """2πλ/Z per unit time, Z = ∫e^{−Φ} = 7.6235; raises UserError for another potential or
        another D than 1."""
        is_known = False
        diffusion = 0.0
        if isinstance(landscape, DoubleWell):
            diffusion = temperature * landscape.noise
            settings = (
                landscape.height,
                landscape.directions,
                landscape.stiffness,
                landscape.ambient,
            )
            is_known = settings == KNOWN and abs(diffusion - 1) <= 1e-9
        if not isinstance(landscape, DoubleWell) or not is_known:
            raise UserError(
                "LimitCycle: its steady state is known for height=0.25, directions=2, "
                "stiffness=1, ambient=null and "
                f"learning_rate·noise/2·batch_size = 1, not {diffusion:g}"
            )
        # 1/∫e^{−(x² − 1)²/4}dx, its energy is 0
        density = landscape.stationary_density(torch.ones(1), temperature)
        at_top = float(density[0])
        root = sqrt(2 * pi)
        return 2 * pi * self.strength * at_top / root
