"""The bottom that a thermal cloud sits above: the minimum θ*, its height, its noise, and how fast things relax there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sgdtheory.curvature import top_modes, weighted_spectrum
from sgdtheory.descend import lbfgs
from sgdtheory.faults import Failure
from sgdtheory.landscape import value_and_grad
from sgdtheory.minima import minima_of
from sgdtheory.noise import is_additive, noise_vectors, per_sample_noise, whole_pass
from sgdtheory.schedule import Cosine
from sgdtheory.sgd import SGD
from sgdtheory.streams import stream

DIRECTIONS = 16  # Hessian directions that are watched
VECTORS, MICRO = 32, 32  # draws of the noise that the spectrum is weighted by, and their batch size
LANCZOS = 40  # steps: the resolved scales of h span about (steps)²
POLISH = 2000  # iterations of L-BFGS
PASSES = 16  # over the data, where the gradient of every example is too much
AFFORDED = 20_000_000  # examples × parameters whose gradients are taken one by one
TRAINING = 400  # steps of SGD that come before, for networks that L-BFGS cannot minimise


class Ground(NamedTuple):
    """What is known of the landscape at θ*, float64 throughout.

    `spectrum`, `weights` [m]: the share w_j of Tr C that lies at curvature h_j (noise-weighted Lanczos quadrature).
    """

    theta: Tensor  # [n]
    directions: Tensor  # [k, n], the eigenvectors of the largest curvatures
    curvatures: Tensor  # h_i [k]
    noise_diagonal: Tensor  # C_ii [k]
    spectrum: Tensor
    weights: Tensor
    numbers: Tensor  # [3]: L*, |∇L|, Tr C

    @classmethod
    def kept_in(cls, tensors: Mapping[str, Tensor]) -> "Ground":
        """From the tensors of a unit or a file."""
        return cls(**{name: tensors[name] for name in cls._fields})

    @property
    def loss(self) -> float:
        return float(self.numbers[0])

    @property
    def gradient_norm(self) -> float:
        return float(self.numbers[1])

    @property
    def noise_trace(self) -> float:
        return float(self.numbers[2])

    @property
    def top_curvature(self) -> float:
        return float(self.curvatures[0])

    def relaxation(self, left: float) -> float:
        """The time ηt after which Σ_j w_j e^(−2h_j ηt), the part of Tr C whose modes are not yet warm, is `left`.

        From θ* a mode's energy rises as ½T·C_ii(1 − e^(−2h_i ηt)). Infinite where nothing holds modes that carry so much.
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
        """Σ_i r(x_i)C_ii / Tr C, r(x) = 1 − (2/x)(1 − (1−e⁻ˣ)/x), x = rate·h·(N/b): what reshuffling leaves of the variance."""
        x = (rate * self.spectrum.clamp_min(0) * per_epoch).clamp_min(1e-4)
        return float((self.weights * (1 - (2 / x) * (1 + torch.expm1(-x) / x))).sum())


def find_minimum(landscape: Any, minima: tuple[Path, ...] | None, seed: int) -> Tensor:
    """θ* [n], float64: the first minimum of files, or that the landscape states, or that is found; all polished by L-BFGS.

    A network with batch norm is trained by SGD instead: its objective has no minimum along |w| that L-BFGS would reach.
    """
    if minima is not None or hasattr(landscape, "minima"):
        start = minima_of(landscape, minima)[:1]
    else:
        start = landscape.init(1, stream(seed, "init", 0))
    if is_additive(landscape):
        return lbfgs(landscape, start.double(), POLISH)[0]
    if minima is None:
        training = SGD(TRAINING, min(128, landscape.count), "auto", Cosine(), 0.9)
        for state in training.run(landscape, start, seed):
            start = state.cloud
    if not torch.isfinite(start).all():
        raise Failure("the training of the minimum diverged; lower landscape.learning_rate")
    return start[0].double()


def ground_at(landscape: Any, theta: Tensor, seed: int, batch_size: int, directions: int = DIRECTIONS) -> Ground:
    """Everything measured once at θ* [n], float64, before any cell."""
    source = stream(seed, "ground")
    curvatures, modes = top_modes(landscape, theta, min(directions, theta.numel()))
    modes = modes.to(theta)
    micro = MICRO if is_additive(landscape) else batch_size
    vectors = noise_vectors(landscape, theta, VECTORS, micro, source)
    spectrum, weights = weighted_spectrum(landscape, theta, vectors, LANCZOS)
    value, gradient = value_and_grad(landscape, theta[None])
    trace, diagonal = _noise(landscape, theta, batch_size, source, modes)
    numbers = torch.tensor([float(value[0]), float(gradient[0].norm()), float(trace)], dtype=torch.float64)
    return Ground(theta.cpu(), modes.cpu(), curvatures, diagonal.cpu(), spectrum, weights, numbers)


def _noise(landscape: Any, theta: Tensor, size: int, source: torch.Generator, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Tr C and C_ii [k]: of every example where that can be afforded, else averaged over passes."""
    if hasattr(landscape, "count") and is_additive(landscape) and landscape.count * theta.numel() <= AFFORDED:
        return per_sample_noise(landscape, theta, directions)
    seen = [whole_pass(landscape, theta[None], size, source, directions) for _ in range(PASSES)]
    return torch.stack([each.noise_trace[0] for each in seen]).mean(), torch.stack(
        [each.noise_diagonal[0] for each in seen]
    ).mean(0)
