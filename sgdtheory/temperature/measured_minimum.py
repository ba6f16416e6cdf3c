"""What is measured once at a minimum θ*, before any cell."""

from math import ceil

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
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.examples import WithExamples, examples_of, has_examples
from sgdtheory.roles.facts import decay_gradient, decays_alike, device_of, weight_decay_of
from sgdtheory.statistics.measured import Measured
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
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
SEEN = 128  # examples that such a product is made of, at least


def reference_minimum_at(
    landscape: Landscape,
    theta: Tensor,
    seed: int,
    batch_size: int,
    directions: int = DIRECTIONS,
    start: Tensor | None = None,
) -> ReferenceMinimum:
    """What is measured once at θ* [n], float64, before any cell; `start` [n]: where clouds start.

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
    return ReferenceMinimum(
        theta=theta.cpu(),
        start=(theta if start is None else start.double()).cpu(),
        directions=modes.cpu(),
        curvatures=curvatures,
        noise_diagonal=diagonal.cpu(),
        spectrum=spectrum,
        weights=weights,
        groups=invariant.cpu(),
        numbers=_numbers(
            value[0],
            gradient[0],
            trace,
            micro_trace,
            weight_decay_of(landscape),
        ),
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


def _numbers(
    value: Tensor,
    gradient: Tensor,
    trace: Tensor,
    micro_trace: Measured,
    weight_decay: float,
) -> Tensor:
    """As `ReferenceMinimum` has them [6], of L* [], ∇L [n] and Tr C []."""
    numbers = [
        float(value),
        float(gradient.norm()),
        float(trace),
        micro_trace.value or 0.0,
        micro_trace.stderr or 0.0,
        weight_decay,
    ]
    return torch.tensor(numbers, dtype=torch.float64)


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
