"""The noise of SGD at a cloud's points: Tr C from micro-batches of the same pass that gives L and
∇L."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.landscape import Batch, Cloud, Landscape, value_and_grad
from sgdtheory.landscapes.batch_norm import has_batch_norm
from sgdtheory.roles import WithExamples, has_examples, is_network, sampled_of, states_noise

# micro-batches of a pass: Tr C of one record and replica is known to about √(2/11) of its own
# spread
PARTS = 12
MOST_EXAMPLES = 16_384  # of a pass; larger sets are seen through a fresh random subset
SAMPLES = 256  # whose gradients are held at once
DRAWS = 4  # mini-batches of a pass where a landscape has no examples and states no covariance


class Pass(NamedTuple):
    """What one pass over the objective says of each point of a cloud [P]; C is the covariance of
    one sample's gradient."""

    losses: Tensor  # L [P], float64
    gradients: Tensor  # ∇L [P, n], in the cloud's dtype
    gradient_norms_squared: Tensor  # |∇L|² [P], what a subset of the examples adds to it subtracted
    noise_trace: Tensor  # Tr C [P]
    noise_diagonal: Tensor  # C_ii along the directions asked for [P, k]


def whole_pass(
    landscape: Landscape, cloud: Cloud, size: int, source: torch.Generator, directions: Tensor
) -> Pass:
    """L, ∇L, Tr C and C_ii = e_i·C·e_i at every point, `directions` e [k, n] orthonormal; `size` b
    is that of SGD's batches.

    Stated: `noise_covariance`. From examples: a random partition into micro-batches of m_k, Tr C =
    (N−1)/(N(K−1))·Σ_k m_k|g_k − ḡ|², unbiased for draws without replacement; with batch norm all
    have exactly b, for the gradient of a batch is then no mean over its examples and the noise of
    another b is another noise. From `sample`: b⟨|g_B − ∇L|²⟩ over a few draws.
    """
    if has_examples(landscape):
        return _from_examples(landscape, cloud, size, source, directions)
    losses, gradients = value_and_grad(landscape, cloud)
    squares = gradients.double().square().sum(1)
    if states_noise(landscape):
        covariance = landscape.noise_covariance(cloud)  # [P, n, n]
        along = torch.einsum("ki,pij,kj->pk", directions, covariance, directions)
        return Pass(
            losses.double(),
            gradients,
            squares,
            covariance.diagonal(dim1=1, dim2=2).sum(1).double(),
            along.double(),
        )
    trace, along = torch.zeros_like(squares), squares.new_zeros(len(cloud), len(directions))
    sampled = sampled_of(landscape)
    for _ in range(DRAWS):
        batch = sampled.sample(len(cloud), size, source)
        noise = value_and_grad(landscape, cloud, batch)[1] - gradients
        trace += size / DRAWS * noise.double().square().sum(1)
        along += size / DRAWS * (noise @ directions.T).double().square()
    return Pass(losses.double(), gradients, squares, trace, along)


def _from_examples(
    landscape: WithExamples, cloud: Cloud, size: int, source: torch.Generator, directions: Tensor
) -> Pass:
    count, parts = landscape.count, 0
    losses = torch.zeros(len(cloud), dtype=torch.float64, device=cloud.device)
    gradients = torch.zeros_like(cloud)
    squares = torch.zeros_like(losses)  # Σ_k m_k|g_k|²
    along = losses.new_zeros(len(cloud), len(directions))
    seen = 0
    for batch, m in micro_batches(landscape, len(cloud), size, source, cloud.device):
        value, gradient = value_and_grad(landscape, cloud, batch)
        losses += m * value
        gradients += m * gradient
        squares += m * torch.linalg.vector_norm(gradient, dim=1, dtype=torch.float64).square()
        along += m * (gradient @ directions.T).double().square()
        seen, parts = seen + m, parts + 1
    losses, gradients = losses / seen, gradients / seen
    norms = gradients.double().square().sum(1)
    unbiased = (count - 1) / (count * max(1, parts - 1))  # within a finite population
    trace = unbiased * (squares - seen * norms)
    diagonal = unbiased * (along - seen * (gradients @ directions.T).double().square())
    return Pass(losses, gradients, norms - trace / seen * (1 - seen / count), trace, diagonal)


def per_sample_noise(
    landscape: WithExamples, theta: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """Tr C and C_ii [k] at one point θ [n] from the gradient of every example: exact. A row a
    sample, so nothing is asked of the landscape that it does not do anyway."""
    _, mean = value_and_grad(landscape, theta[None])
    trace, along = theta.new_zeros(()), theta.new_zeros(len(directions))
    for indices in torch.arange(landscape.count, device=theta.device).split(SAMPLES):
        # [SAMPLES, n]
        _, each = value_and_grad(
            landscape, theta.expand(len(indices), -1), landscape.batch(indices[:, None])
        )
        noise = each - mean
        trace += noise.square().sum()
        along += (noise @ directions.T).square().sum(0)
    return trace / landscape.count, along / landscape.count


def micro_batches(
    landscape: WithExamples, points: int, size: int, source: torch.Generator, device: torch.device
) -> Iterator[tuple[Batch, int]]:
    """Random partitions of the examples (or of a subset) into batches, each with its size; every
    point has one of its own.

    Shared by all points, the chance of one partition would be an error that no look at the
    replicas' spread can see.
    """
    seen = min(landscape.count, MOST_EXAMPLES)
    if is_additive(landscape):
        sizes = [len(part) for part in torch.arange(seen).chunk(min(PARTS, seen))]
    else:
        sizes = [size] * max(1, seen // size)
    # 5 × faster than sorting
    mixed = [torch.randperm(landscape.count, generator=source)[: sum(sizes)] for _ in range(points)]
    order = torch.stack(mixed).to(device)  # [P, n]
    for indices in order.split(sizes, 1):
        yield landscape.batch(indices), indices.shape[1]


def is_additive(landscape: Landscape) -> bool:
    """Whether a mini-batch's loss is the mean over its examples; with batch norm it is not."""
    return not (is_network(landscape) and has_batch_norm(landscape.module))


def noise_vectors(
    landscape: Landscape, theta: Tensor, count: int, size: int, source: torch.Generator
) -> Tensor:
    """`count` draws of g_B − ∇L at one point, [count, n], of i.i.d. mini-batches of `size`; of
    stated noise its roots."""
    if states_noise(landscape):  # √C, column by column: the same second moment without chance
        values, states = torch.linalg.eigh(landscape.noise_covariance(theta[None])[0])
        found: Tensor = (states * values.clamp_min(0).sqrt()).T
        return found[found.norm(dim=1) > 1e-7 * found.norm()]
    cloud = theta.expand(count, -1)
    if has_examples(landscape):
        size = min(size, landscape.count)
        batch = landscape.batch(
            torch.randint(landscape.count, (count, size), generator=source).to(theta.device)
        )
    else:
        batch = sampled_of(landscape).sample(count, size, source)
    noise: Tensor = (
        value_and_grad(landscape, cloud, batch)[1] - value_and_grad(landscape, theta[None])[1]
    )
    return noise
