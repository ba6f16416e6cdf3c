"""The bottom that a thermal cloud sits above: the minimum θ*, its height, its noise, and how fast
things relax there."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.geometry.curvature import top_modes, weighted_spectrum
from sgdtheory.geometry.gradient_noise import (
    is_additive,
    noise_vectors,
    per_sample_noise,
    whole_pass,
)
from sgdtheory.geometry.scale_invariance import scale_invariant
from sgdtheory.landscape import Landscape, value_and_grad
from sgdtheory.landscapes.derived.ghost_batches import GhostBatchObjective
from sgdtheory.optim.descent import lbfgs
from sgdtheory.optim.learning_rate import LOWER, MOST_TRIES, has_risen, is_measured, look_steps
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.rng import stream
from sgdtheory.roles import examples_of, has_examples, weight_decay_of
from sgdtheory.statistics.measured import Measured

DIRECTIONS = 16  # Hessian directions that are watched
VECTORS, MICRO = 32, 32  # draws of the noise that the spectrum is weighted by, and their batch size
LANCZOS = 40  # steps: the resolved scales of h span about (steps)²
POLISH = 2000  # iterations of L-BFGS
PASSES = 16  # over the data, where the gradient of every example is too much
AFFORDED = 20_000_000  # examples × parameters whose gradients are taken one by one
TRAINING = 400  # steps of SGD that come before, for networks that L-BFGS cannot minimise
# directions, draws and Lanczos steps where a product with the Hessian costs a second
FEW = (
    2,
    4,
    12,
)
FEW_PASSES = 4
SEEN = 128  # examples that such a product is made of, at least


class ReferenceMinimum(NamedTuple):
    """What is known of the landscape at θ*, float64 throughout.

    `spectrum`, `weights` [m]: the share w_j of Tr C that lies at curvature h_j (noise-weighted
    Lanczos quadrature). Where parameters are scale-invariant there is no minimum along their
    length: θ* is where training has ended, and how high a cloud stands is told by a quench of its
    own points.
    """

    theta: Tensor  # [n]
    start: Tensor  # [n], where clouds are let go: θ*, or a point of a path above it
    directions: Tensor  # [k, n], the eigenvectors of the largest curvatures
    curvatures: Tensor  # h_i [k]
    noise_diagonal: Tensor  # C_ii [k]
    spectrum: Tensor
    weights: Tensor
    groups: Tensor  # [n], k > 0 for the k-th scale-invariant tensor
    numbers: Tensor  # [6]: L*, |∇L|, Tr C, Tr C from micro-batches and its standard error, λ

    @classmethod
    def kept_in(cls, tensors: Mapping[str, Tensor]) -> "ReferenceMinimum":
        """From the tensors of a unit or a file."""
        return cls(**{name: tensors[name] for name in cls._fields})

    @property
    def has_minimum(self) -> bool:
        return not bool((self.groups > 0).any())

    @property
    def loss(self) -> float:
        return float(self.numbers[0])

    @property
    def height(self) -> float | None:
        """L* where there is a minimum."""
        return self.loss if self.has_minimum else None

    @property
    def gradient_norm(self) -> float:
        return float(self.numbers[1])

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

    def relaxation(self, left: float) -> float:
        """The time ηt after which Σ_j w_j e^(−2h_j ηt), the part of Tr C whose modes are not yet
        warm, is `left`.

        From θ* a mode's energy rises as ½T·C_ii(1 − e^(−2h_i ηt)). Infinite where nothing holds
        modes that carry so much.
        """
        rates, weights = self.spectrum.clamp_min(0), self.weights
        low, high = 0.0, 1.0
        while float((weights * (-2 * rates * high).exp()).sum()) > left:
            low, high = high, 2 * high
            if high > 1e12:
                return float("inf")
        for _ in range(40):
            middle = (low + high) / 2
            warm = float((weights * (-2 * rates * middle).exp()).sum()) <= left
            low, high = (low, middle) if warm else (middle, high)
        return high

    def epoch_factor(self, rate: float, per_epoch: float) -> float:
        """Σ_i r(x_i)C_ii / Tr C, r(x) = 1 − (2/x)(1 − (1−e⁻ˣ)/x), x = rate·h·(N/b): what
        reshuffling leaves of the variance."""
        x = (rate * self.spectrum.clamp_min(0) * per_epoch).clamp_min(1e-4)
        return float((self.weights * (1 - (2 / x) * (1 + torch.expm1(-x) / x))).sum())


def find_minimum(landscape: Landscape, start: Tensor | None, seed: int) -> Tensor:
    """θ* [n], float64, below a start [n] or a random one, by L-BFGS.

    A network with batch norm is trained by SGD instead, unless a start is given: its objective has
    no minimum along |w| that L-BFGS would reach.
    """
    cloud = landscape.init(1, stream(seed, "init", 0)) if start is None else start[None]
    if is_additive(landscape):
        return lbfgs(landscape, cloud.double(), POLISH)[0]
    if start is None:
        cloud = _trained(landscape, cloud, seed)
    if not torch.isfinite(cloud).all():
        raise RunError("the training of the minimum diverged; lower landscape.learning_rate")
    return cloud[0].double()


def _trained(landscape: Landscape, start: Tensor, seed: int) -> Tensor:
    """Where training ends, [1, n]; where its loss has risen at the first looks, at a lower rate
    (see `run_measured`)."""
    sgd = SGD(
        TRAINING, min(128, examples_of(landscape).count), "auto", Cosine(), 0.9
    ).resolve_learning_rate(landscape, start, seed)
    looks, measures = dict(look_steps(TRAINING)), is_measured(landscape)
    for tries in range(MOST_TRIES):
        losses: list[float] = []
        cloud = start
        for state in sgd.run(landscape, start, seed):
            cloud = state.cloud
            assert state.losses is not None and not isinstance(sgd.learning_rate, str)
            losses.append(float(state.losses[0]))
            share = looks.get(state.step, 0.0)
            watched = share > 0 and measures and tries < MOST_TRIES - 1
            if watched and has_risen(losses[0], losses[state.step // 2 :], share):
                sgd = replace(sgd, learning_rate=LOWER * sgd.learning_rate)
                break
        else:
            return cloud
    return cloud


def ground_at(
    landscape: Landscape,
    theta: Tensor,
    seed: int,
    batch_size: int,
    directions: int = DIRECTIONS,
    start: Tensor | None = None,
) -> ReferenceMinimum:
    """Everything measured once at θ* [n], float64, before any cell; `start`: where clouds are let
    go, if not there.

    With batch norm of the objective that SGD with this b descends, the mean over parts of exactly
    b; curvatures there from few parts, draws and steps.
    """
    source = stream(seed, "ground")
    groups = scale_invariant(landscape, stream(seed, "invariance"))
    vectors, steps, seen = VECTORS, LANCZOS, landscape
    micro = MICRO if is_additive(landscape) else batch_size
    if not is_additive(landscape):
        directions, vectors, steps = FEW
        seen = GhostBatchObjective(
            examples_of(landscape), batch_size, stream(seed, "parts"), -(-SEEN // batch_size)
        )
        landscape = GhostBatchObjective(examples_of(landscape), batch_size, stream(seed, "parts"))
    curvatures, modes = top_modes(seen, theta, min(directions, theta.numel()))
    modes = modes.to(theta)
    noise = noise_vectors(landscape, theta, vectors, micro, source)
    spectrum, weights = weighted_spectrum(seen, theta, noise, steps)
    value, gradient = value_and_grad(landscape, theta[None])
    trace, diagonal, micro_trace = _noise(landscape, theta, batch_size, source, modes)
    numbers = torch.tensor(
        [
            float(value[0]),
            float(gradient[0].norm()),
            float(trace),
            micro_trace.value or 0.0,
            micro_trace.stderr or 0.0,
            weight_decay_of(landscape),
        ],
        dtype=torch.float64,
    )
    start = theta if start is None else start.double()
    return ReferenceMinimum(
        theta.cpu(),
        start.cpu(),
        modes.cpu(),
        curvatures,
        diagonal.cpu(),
        spectrum,
        weights,
        groups.cpu(),
        numbers,
    )


def _noise(
    landscape: Landscape, theta: Tensor, size: int, source: torch.Generator, directions: Tensor
) -> tuple[Tensor, Tensor, Measured]:
    """Tr C and C_ii [k]: of every example where that can be afforded, else averaged over passes; Tr
    C from those alone."""
    passes = PASSES if is_additive(landscape) else FEW_PASSES
    seen = [whole_pass(landscape, theta[None], size, source, directions) for _ in range(passes)]
    traces = torch.cat([each.noise_trace for each in seen])
    averaged = Measured.mean(traces.cpu())
    if (
        has_examples(landscape)
        and is_additive(landscape)
        and landscape.count * theta.numel() <= AFFORDED
    ):
        return *per_sample_noise(landscape, theta, directions), averaged
    return traces.mean(), torch.stack([each.noise_diagonal[0] for each in seen]).mean(0), averaged
