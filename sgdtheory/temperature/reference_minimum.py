"""The minimum θ* below a thermal cloud: its loss, its noise, and how fast clouds relax there."""

from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import (
    is_additive,
    noise_vectors,
    per_sample_noise,
    whole_pass,
)
from sgdtheory.geometry.hessian import hessian, top_eigenpairs
from sgdtheory.geometry.lanczos import weighted_spectrum
from sgdtheory.geometry.noise_by_parameter import deviations, noise_scale
from sgdtheory.geometry.scale_invariance import scale_invariant
from sgdtheory.landscapes.derived.ghost_batches import GhostBatchObjective
from sgdtheory.landscapes.derived.rescaled import Rescaled
from sgdtheory.protocol import Landscape, TensorsByName, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.examples import WithExamples, examples_of, has_examples
from sgdtheory.roles.facts import decay_gradient, decays_alike, device_of, weight_decay_of
from sgdtheory.runs.tensors import Tensors
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.silence import refuse_silence
from sgdtheory.temperature.slope import fall_below

DENSE = 2048  # parameters up to which a Hessian is written down
DIRECTIONS = 16  # Hessian eigenvectors along which clouds are recorded
VECTORS, MICRO = 32, 32  # draws of the noise that the spectrum is weighted by, and their batch size
LANCZOS = 40  # steps: the resolved scales of h span about (steps)²
PASSES = 16  # over the data, where the gradient of every example is too much
AFFORDED = 20_000_000  # examples × parameters whose gradients are taken one by one
# where a product with the Hessian costs a second:
COSTLY_DIRECTIONS = 2
COSTLY_VECTORS = 4
COSTLY_LANCZOS = 12
COSTLY_PASSES = 4
NOISY = 0.99  # of the noise, along directions whose curvature counts for Adam
SEEN = 128  # examples that such a product is made of, at least


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


def reference_minimum_at(
    landscape: Landscape,
    theta: Tensor,
    seed: int,
    batch_size: int,
    directions: int = DIRECTIONS,
    start: Tensor | None = None,
) -> ReferenceMinimum:
    """Everything that is measured once at θ* [n], float64, before any cell; `start` [n]: where
    clouds start, if not there.

    With batch norm of the objective that SGD with this b descends, the mean over parts of exactly
    b; curvatures there from few parts, draws and steps.
    """
    source = stream(seed, "ground")
    invariant = scale_invariant(landscape, stream(seed, "invariance"))
    _refuse_lengths_without_decay(landscape, theta, invariant)
    vectors = VECTORS
    steps = LANCZOS
    micro = MICRO
    curved = landscape
    if not is_additive(landscape):
        directions = COSTLY_DIRECTIONS
        vectors = COSTLY_VECTORS
        steps = COSTLY_LANCZOS
        micro = batch_size
        examples = examples_of(landscape)
        parts = ceil(SEEN / batch_size)
        curved = GhostBatchObjective(examples, batch_size, stream(seed, "parts"), parts)
        landscape = GhostBatchObjective(examples, batch_size, stream(seed, "parts"))
    curvatures, modes = top_eigenpairs(curved, theta, min(directions, theta.numel()))
    modes = modes.to(theta)
    noise = noise_vectors(landscape, theta, vectors, micro, source)
    value, gradient = value_and_grad(landscape, theta[None])
    steepest = float(curvatures.max())
    if not len(noise):  # a covariance that is stated to be 0
        refuse_silence(landscape, theta, steepest, 0.0, gradient[0], batch_size)
    spectrum, weights = weighted_spectrum(curved, theta, noise, steps)
    trace, diagonal, micro_trace = _noise(landscape, theta, batch_size, source, modes)
    fall = 0.0
    if curved is landscape and not bool(invariant.any()):
        refuse_silence(landscape, theta, steepest, float(trace), gradient[0], batch_size)
        fall = fall_below(landscape, theta, gradient[0], float(trace), seed)
    numbers = [
        float(value[0]),
        float(gradient[0].norm()),
        float(trace),
        micro_trace.value or 0.0,
        micro_trace.stderr or 0.0,
        weight_decay_of(landscape),
    ]
    return ReferenceMinimum(
        theta=theta.cpu(),
        start=(theta if start is None else start.double()).cpu(),
        directions=modes.cpu(),
        curvatures=curvatures,
        noise_diagonal=diagonal.cpu(),
        spectrum=spectrum,
        weights=weights,
        groups=invariant.cpu(),
        numbers=torch.tensor(numbers, dtype=torch.float64),
        below=torch.tensor(fall, dtype=torch.float64) if fall else None,
    )


def reference_of_adam(
    landscape: Landscape,
    theta: Tensor,
    seed: int,
    batch_size: int,
    start: Tensor | None = None,
) -> ReferenceMinimum:
    """The same at θ* [n] in the coordinates φ = sθ in which Adam is SGD where noise dominates; its
    noise trace is Σσ_i."""
    scale = noise_scale(deviations(landscape, theta, stream(seed, "deviations")))
    rescaled = Rescaled(landscape, scale)
    above = None if start is None else start.to(scale) * scale
    ground = reference_minimum_at(rescaled, theta * scale, seed, batch_size, start=above)
    ground = _along_the_noise(rescaled, ground)
    return ground._replace(scale=scale.cpu())


def _along_the_noise(landscape: Landscape, ground: ReferenceMinimum) -> ReferenceMinimum:
    """The same with the directions that hold most of the noise, where a Hessian can be written
    down: the steepest of Adam are those of its quietest parameters."""
    if len(ground.theta) > DENSE or not has_examples(landscape):
        return ground
    if not _is_afforded(landscape, ground.theta):
        return ground
    theta = ground.theta.to(device_of(landscape))
    curvatures, modes = torch.linalg.eigh(hessian(landscape, theta))
    _, noise = per_sample_noise(landscape, theta, modes.T)
    noisiest = noise.argsort(descending=True)[:DIRECTIONS].sort(descending=True).values
    return ground._replace(
        directions=modes.T[noisiest].cpu(),
        curvatures=curvatures[noisiest].cpu(),
        noise_diagonal=noise[noisiest].cpu(),
    )


def _noise(
    landscape: Landscape,
    theta: Tensor,
    size: int,
    source: torch.Generator,
    directions: Tensor,
) -> tuple[Tensor, Tensor, Measured]:
    """Tr C and C_ii [k]: of every example where that can be afforded, else averaged over passes; Tr
    C from those alone."""
    passes = PASSES if is_additive(landscape) else COSTLY_PASSES
    results = [whole_pass(landscape, theta[None], size, source, directions) for _ in range(passes)]
    traces = torch.cat([result.noise_trace for result in results])
    averaged = Measured.mean(traces.cpu())
    if has_examples(landscape) and is_additive(landscape) and _is_afforded(landscape, theta):
        trace, diagonal = per_sample_noise(landscape, theta, directions)
        return trace, diagonal, averaged
    diagonals = torch.stack([result.noise_diagonal[0] for result in results])
    return traces.mean(), diagonals.mean(0), averaged


def _is_afforded(landscape: WithExamples, theta: Tensor) -> bool:
    return landscape.count * theta.numel() <= AFFORDED


def _refuse_lengths_without_decay(landscape: Landscape, theta: Tensor, groups: Tensor) -> None:
    """Raise UserError where some parameters decay and scale-invariant ones, `groups` [n] > 0, do
    not: noise makes these longer and longer."""
    if decays_alike(landscape):
        return
    decays = decay_gradient(landscape, torch.ones_like(theta)[None])[0] != 0
    if bool((~decays[groups.to(decays.device) > 0]).any()):
        raise UserError(
            "landscape.decay=weights: parameters whose length the loss does not feel do not decay, "
            "and never come to rest; use landscape.decay=all"
        )
