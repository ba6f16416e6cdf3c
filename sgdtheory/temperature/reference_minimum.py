"""The minimum θ* below a thermal cloud: its loss, its noise, and how fast clouds relax there."""

from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.landscapes.derived.rescaled import Rescaled
from sgdtheory.protocol import Landscape, TensorsByName
from sgdtheory.runs.tensors import Tensors
from sgdtheory.statistics.measured import Measured

NOISY = 0.99  # of the noise, along directions whose curvature counts for Adam


class ReferenceMinimum(NamedTuple):
    """The landscape at θ*, float64 throughout; all of it in the coordinates φ = sθ, s `scale`.

    `spectrum`, `weights` [m]: the share w_j of Tr C that lies at curvature h_j (noise-weighted
    Lanczos quadrature). Where parameters are scale-invariant there is no minimum along their
    length: θ* is where training has ended, and the excess loss of a cloud is measured from a quench
    of its own points.
    """

    theta: Tensor  # [n]
    start: Tensor  # [n], where clouds start: θ*, or a point of a path above it
    directions: Tensor  # [k, n], the eigenvectors of the largest curvatures
    curvatures: Tensor  # h_i [k]
    noise_diagonal: Tensor  # C_ii [k]
    spectrum: Tensor  # [m]
    weights: Tensor  # [m]
    groups: Tensor  # [n], k > 0 for the k-th scale-invariant tensor
    numbers: Tensor  # [6]: L*, |∇L|, Tr C, Tr C from micro-batches and its standard error, λ
    scale: Tensor | None = None  # s [n] where Adam is SGD of φ; None: φ = θ
    below: Tensor | None = None  # [], how far a descent from θ* falls; None: at a minimum

    @classmethod
    def kept_in(cls, tensors: Tensors) -> "ReferenceMinimum":
        """From the tensors of a unit or a file, with the shapes of the fields, such as `theta`
        [n]."""
        known = {name: tensors[name] for name in cls._fields if name in tensors}
        return cls(**known)

    def tensors(self) -> TensorsByName:
        """All that there is by name, with the shapes of the fields."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def coordinates(self, landscape: Landscape) -> Landscape:
        """The landscape in the coordinates of this minimum."""
        if self.scale is None:
            return landscape
        return Rescaled(landscape, self.scale)

    @property
    def weights_at_minimum(self) -> Tensor:
        """θ* [n], in the landscape's own coordinates."""
        if self.scale is None:
            return self.theta
        return self.theta / self.scale

    @property
    def has_minimum(self) -> bool:
        return not bool((self.groups > 0).any())

    @property
    def loss(self) -> float:
        return float(self.numbers[0])

    @property
    def loss_at_minimum(self) -> float | None:
        """L* where there is a minimum."""
        return self.loss if self.has_minimum else None

    @property
    def gradient_norm(self) -> float:
        return float(self.numbers[1])

    @property
    def fall(self) -> float:
        """How far a descent from θ* falls: 0 at a minimum."""
        return 0.0 if self.below is None else float(self.below)

    @property
    def noise_trace(self) -> float:
        return float(self.numbers[2])

    @property
    def micro_batch_trace(self) -> Measured:
        """Tr C(θ*) as records see it, to be compared with `noise_trace`, that of every example's
        gradient."""
        return Measured(float(self.numbers[3]), float(self.numbers[4]))

    @property
    def weight_decay(self) -> float:
        return float(self.numbers[5])

    @property
    def top_curvature(self) -> float:
        return float(self.curvatures[0])

    @property
    def steepest(self) -> float:
        """The curvature that limits a learning rate: the largest; of Adam that below which
        NOISY of the noise lies.

        Along what is steeper the noise is too little to set ŝ: the gradient does, and a step of
        Adam has a length of its own whatever the curvature.
        """
        if self.scale is None:
            return self.top_curvature
        order = self.spectrum.argsort()
        below = self.weights[order].cumsum(0)
        index = int((below < NOISY * below[-1]).sum())
        return float(self.spectrum[order][index])

    def cold(self, time: float) -> float:
        """Σ_j w_j e^(−2h_j ηt), the part of Tr C whose modes are not yet warm at the time ηt: from
        θ* a mode's energy rises as ½T·C_ii(1 − e^(−2h_i ηt))."""
        rates = self.spectrum.clamp_min(0)
        return float((self.weights * (-2 * rates * time).exp()).sum())

    def relaxation(self, left: float) -> float:
        """The time ηt after which only `left` of Tr C is cold; infinite where nothing holds modes
        that carry so much."""
        low, high = 0.0, 1.0
        while self.cold(high) > left:
            low, high = high, 2 * high
            if high > 1e12:
                return float("inf")
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self.cold(middle) > left else (low, middle)
        return high

    def epoch_factor(self, rate: float, per_epoch: float, momentum: float = 0.0) -> float:
        """Σ_i r(x_i)C_ii / Tr C, r(x) = 1 − (2/x)(1 − (1−e⁻ˣ)/x), x = ηh(N/b)/(1−μ): the fraction
        of the variance that reshuffling leaves where steps are many and b divides N."""
        slowness = rate * self.spectrum.clamp_min(0) * per_epoch / (1 - momentum)
        x = slowness.clamp_min(1e-4)
        factors = 1 - (2 / x) * (1 + torch.expm1(-x) / x)
        return float((self.weights * factors).sum())
