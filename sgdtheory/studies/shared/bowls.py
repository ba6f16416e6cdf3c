"""Whether a landscape is a quadratic with the same noise everywhere, and its two matrices: what
closed forms of a bowl are of."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.protocol import Cloud, Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.closed_forms import states_minima, states_noise
from sgdtheory.roles.facts import title_of

PROBES = 4  # directions that no axis has
REACHES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)  # along each, of a length about √n
ROUNDING = 1e-6  # of the largest gradient or variance: some landscapes compute in float32


class BowlMatrices(NamedTuple):
    """H and C [n, n] of a bowl, float64."""

    hessian: Tensor
    noise: Tensor


def bowl_of(landscape: Landscape) -> BowlMatrices:
    """The matrices of a quadratic with known noise. UserError where the gradient is not a linear
    function of the place, or the noise of a sample not the same at all of them: there no closed
    form of a bowl is right."""
    if not states_noise(landscape):
        raise _other(landscape, "states no noise_covariance")
    middle = middle_of(landscape)
    count = landscape.dim
    eye = torch.eye(count, dtype=torch.float64, device=middle.device)
    places = torch.cat([middle + eye, middle])
    _, slopes = value_and_grad(landscape, places)
    hessian = slopes[:-1] - slopes[-1]
    displacements = _displacements(count).to(middle)
    probes = middle + displacements
    _, gradients = value_and_grad(landscape, probes)
    linear = slopes[-1] + displacements @ hessian
    if not _alike(gradients, linear):
        raise _other(landscape, "is no quadratic: its gradient is not linear")
    noises = landscape.noise_covariance(torch.cat([middle, probes])).double()
    if not _alike(noises, noises[:1]):
        raise _other(landscape, "has noise that is not the same everywhere")
    return BowlMatrices(hessian.cpu(), noises[0].cpu())


def middle_of(landscape: Landscape) -> Cloud:
    """The first stated minimum, or else the origin, [1, n] float64."""
    if states_minima(landscape):
        return landscape.minima()[:1].double()
    return torch.zeros(1, landscape.dim, dtype=torch.float64)


def _displacements(count: int) -> Tensor:
    """[probes · reaches, n]: half and double along a direction show powers, directions between the
    axes show products."""
    source = stream(0, "bowls")
    directions = torch.randn(PROBES, count, generator=source, dtype=torch.float64)
    reaches = torch.tensor(REACHES, dtype=torch.float64)
    scaled = reaches[:, None, None] * directions
    return scaled.flatten(0, 1)


def _alike(found: Tensor, said: Tensor) -> bool:
    """Within rounding of the largest; what is not finite is like nothing."""
    scale = torch.maximum(found.abs().max(), said.abs().max())
    return bool((found - said).abs().max() <= ROUNDING * scale)


def _other(landscape: Landscape, why: str) -> UserError:
    return UserError(
        f"landscape: {title_of(landscape)} {why}, and theory is of a bowl with known noise; use "
        "landscape=quadratic"
    )


def still_missing(burn_in: float, looks: int, spacing: float) -> float:
    """The share e^{−2t} of its change that a variance lacks at time t, in relaxation times: the
    mean over looks, the first one `spacing` after the burn-in."""
    times = burn_in + spacing * np.arange(1, looks + 1)
    return float(np.exp(-2 * times).mean())
