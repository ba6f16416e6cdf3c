"""How noisy the gradient is in each parameter."""

import torch
from torch import Generator, Tensor

from sgdtheory.geometry.gradient_noise import SAMPLES, example_gradients
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.roles.closed_forms import states_noise
from sgdtheory.roles.examples import WithExamples, has_examples, sampled_of

DRAWS = 4096  # samples where a landscape has no examples: σ is known to 1.1 %
QUIET = 1e-6  # of the largest σ, below which a parameter has no noise


def deviations(landscape: Landscape, theta: Tensor, source: Generator) -> Tensor:
    """σ_i = √C_ii [n] of one sample's gradient at one point θ [n]; exact where the noise is stated
    or is that of examples.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0), noise=2.0), torch.zeros(2, dtype=torch.float64)
    >>> deviations(bowl, origin, torch.Generator()).square().round(decimals=9)
    tensor([2., 2.], dtype=torch.float64)
    """
    if states_noise(landscape):
        covariance = landscape.noise_covariance(theta[None])[0]
        variances = covariance.diagonal()
    elif has_examples(landscape):
        variances = _over_examples(landscape, theta)
    else:
        variances = _over_draws(landscape, theta, source)
    return variances.clamp_min(0).sqrt()


def _over_examples(landscape: WithExamples, theta: Tensor) -> Tensor:
    """C_ii [n] over the gradients of all examples."""
    _, mean = value_and_grad(landscape, theta[None])
    total = torch.zeros_like(theta)
    examples = torch.arange(landscape.count, device=theta.device)
    for indices in examples.split(SAMPLES):
        noise = example_gradients(landscape, theta, indices) - mean
        total += noise.square().sum(0)
    return total / landscape.count


def _over_draws(landscape: Landscape, theta: Tensor, source: Generator) -> Tensor:
    """C_ii [n] over samples drawn one by one."""
    copies = theta.expand(DRAWS, -1)
    batch = sampled_of(landscape).sample(DRAWS, 1, source)
    _, gradients = value_and_grad(landscape, copies, batch)
    _, mean = value_and_grad(landscape, theta[None])
    return (gradients - mean).square().mean(0)


def noise_scale(deviations: Tensor) -> Tensor:
    """s = √σ [n] of σ [n]: the coordinates φ = sθ in which Adam is SGD where noise dominates.

    There the covariance of one sample's gradient has σ_i for C_ii. Parameters without noise, which
    no noise moves, are measured in the units of the noisiest.

    >>> noise_scale(torch.tensor([4.0, 0.25, 0.0]))
    tensor([2.0000, 0.5000, 2.0000])
    """
    largest = deviations.max()
    if not largest > 0:
        return torch.ones_like(deviations)
    is_quiet = deviations < QUIET * largest
    return torch.where(is_quiet, largest, deviations).sqrt()
