"""The noise of SGD at the points of a cloud: Tr C from micro-batches of the same pass that gives L
and ∇L."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.landscapes.batch_norm import has_batch_norm
from sgdtheory.protocol import Batch, Cloud, Landscape, value_and_grad
from sgdtheory.roles.closed_forms import states_noise
from sgdtheory.roles.examples import WithExamples, has_examples, is_network, sampled_of

# micro-batches of a pass: Tr C of one record and replica is known to about √(2/11) of its own
# spread
PARTS = 12
MOST_EXAMPLES = 16_384  # of a pass; larger sets are seen through a fresh random subset
SAMPLES = 256  # whose gradients are held at once
DRAWS = 4  # mini-batches of a pass where a landscape has no examples and states no covariance


class Pass(NamedTuple):
    """The results of one pass over the objective at each point of a cloud [P]; C is the covariance
    of one sample's gradient."""

    losses: Tensor  # L [P], float64
    gradients: Tensor  # ∇L [P, n], in the cloud's dtype
    gradient_norms_squared: Tensor  # |∇L|² [P], less what taking a subset of the examples adds
    noise_trace: Tensor  # Tr C [P]
    noise_diagonal: Tensor  # C_ii along the directions asked for [P, k]


def whole_pass(
    landscape: Landscape,
    cloud: Cloud,
    size: int,
    source: torch.Generator,
    directions: Tensor,
) -> Pass:
    """L, ∇L, Tr C and C_ii = e_i·C·e_i at each point of a cloud [P, n], `directions` e [k, n]
    orthonormal; `size` b is that of SGD's batches.

    Stated: `noise_covariance`. From examples: a random partition into micro-batches of m_k, Tr C =
    (N−1)/(N(K−1))·Σ_k m_k|g_k − ḡ|², unbiased for draws without replacement; with batch norm all
    have exactly b, for the gradient of a batch is then no mean over its examples and the noise of
    another b is another noise. From `sample`: b⟨|g_B − ∇L|²⟩ over a few draws.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> source = torch.Generator().manual_seed(0)
    >>> here = whole_pass(bowl, origin.expand(3, 2), 8, source, torch.eye(2).double())
    >>> here.gradients.shape, here.noise_trace
    (torch.Size([3, 2]), tensor([2., 2., 2.], dtype=torch.float64))
    """
    if has_examples(landscape):
        return _from_examples(landscape, cloud, size, source, directions)
    losses, gradients = value_and_grad(landscape, cloud)
    squares = gradients.double().square().sum(1)
    if states_noise(landscape):
        covariance = landscape.noise_covariance(cloud)  # [P, n, n]
        along = torch.einsum("ki,pij,kj->pk", directions, covariance, directions)
        trace = covariance.diagonal(dim1=1, dim2=2).sum(1)
        return Pass(losses.double(), gradients, squares, trace.double(), along.double())
    trace = torch.zeros_like(squares)
    along = squares.new_zeros(len(cloud), len(directions))
    sampled = sampled_of(landscape)
    weight = size / DRAWS
    for _ in range(DRAWS):
        batch = sampled.sample(len(cloud), size, source)
        _, of_batch = value_and_grad(landscape, cloud, batch)
        noise = of_batch - gradients
        projections = noise @ directions.T
        trace += weight * noise.double().square().sum(1)
        along += weight * projections.double().square()
    return Pass(losses.double(), gradients, squares, trace, along)


def _from_examples(
    landscape: WithExamples,
    cloud: Cloud,
    size: int,
    source: torch.Generator,
    directions: Tensor,
) -> Pass:
    count = landscape.count
    parts = 0
    seen = 0
    losses = torch.zeros(len(cloud), dtype=torch.float64, device=cloud.device)
    gradients = torch.zeros_like(cloud)
    squares = torch.zeros_like(losses)  # Σ_k m_k|g_k|²
    along = losses.new_zeros(len(cloud), len(directions))  # Σ_k m_k(e_i·g_k)²
    for batch, m in micro_batches(landscape, len(cloud), size, source, cloud.device):
        value, gradient = value_and_grad(landscape, cloud, batch)
        norms = torch.linalg.vector_norm(gradient, dim=1, dtype=torch.float64)
        projections = gradient @ directions.T
        losses += m * value
        gradients += m * gradient
        squares += m * norms.square()
        along += m * projections.double().square()
        seen += m
        parts += 1
    losses = losses / seen
    gradients = gradients / seen
    mean_squares = gradients.double().square().sum(1)
    mean_projections = gradients @ directions.T
    unbiased = (count - 1) / (count * max(1, parts - 1))  # within a finite population
    trace = unbiased * (squares - seen * mean_squares)
    diagonal = unbiased * (along - seen * mean_projections.double().square())
    unseen = 1 - seen / count
    excess = trace / seen * unseen  # that the mean over a subset adds to |∇L|²
    return Pass(losses, gradients, mean_squares - excess, trace, diagonal)


def per_sample_noise(
    landscape: WithExamples, theta: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """Tr C [] and C_ii [k] at one point θ [n] along `directions` [k, n], from the gradient of every
    example: exact.

    >>> from sgdtheory.data.digits import digits
    >>> from sgdtheory.landscapes.linear_regression import LinearRegression
    >>> regression = LinearRegression(digits(limit=20))
    >>> theta = torch.zeros(65, dtype=torch.float64)
    >>> trace, along = per_sample_noise(regression, theta, torch.eye(65, dtype=torch.float64))
    >>> along.shape, bool(torch.isclose(along.sum(), trace))
    (torch.Size([65]), True)
    """
    _, mean = value_and_grad(landscape, theta[None])
    trace = theta.new_zeros(())
    along = theta.new_zeros(len(directions))
    examples = torch.arange(landscape.count, device=theta.device)
    for indices in examples.split(SAMPLES):
        noise = example_gradients(landscape, theta, indices) - mean
        projections = noise @ directions.T
        trace += noise.square().sum()
        along += projections.square().sum(0)
    return trace / landscape.count, along / landscape.count


def example_gradients(landscape: WithExamples, theta: Tensor, indices: Tensor) -> Tensor:
    """The gradients [b, n] of single examples of `indices` [b] at one point θ [n], each as a
    mini-batch of one: any landscape can do that.

    >>> from sgdtheory.data.digits import digits
    >>> from sgdtheory.landscapes.linear_regression import LinearRegression
    >>> regression = LinearRegression(digits(limit=20))
    >>> theta = torch.zeros(65, dtype=torch.float64)
    >>> gradients = example_gradients(regression, theta, torch.arange(20))
    >>> _, mean = value_and_grad(regression, theta[None])
    >>> gradients.shape, bool(torch.allclose(gradients.mean(0), mean))
    (torch.Size([20, 65]), True)
    """
    copies = theta.expand(len(indices), -1)
    batch = landscape.batch(indices[:, None])
    _, gradients = value_and_grad(landscape, copies, batch)
    return gradients


def micro_batches(
    landscape: WithExamples,
    points: int,
    size: int,
    source: torch.Generator,
    device: torch.device,
) -> Iterator[tuple[Batch, int]]:
    """A random partition of the examples (or of a subset) for each of `points`: batches of indices
    [points, m], each with its m.

    Each replica draws its own partition; a shared one would add an error common to all replicas,
    invisible in their spread.

    >>> from sgdtheory.data.digits import digits
    >>> from sgdtheory.landscapes.linear_regression import LinearRegression
    >>> regression = LinearRegression(digits(limit=20))
    >>> source = torch.Generator().manual_seed(0)
    >>> parts = micro_batches(regression, 2, 8, source, torch.device("cpu"))
    >>> [(tuple(batch.targets.shape), m) for batch, m in parts][:2]
    [((2, 2), 2), ((2, 2), 2)]
    """
    seen = min(landscape.count, MOST_EXAMPLES)
    if is_additive(landscape):
        parts = torch.arange(seen).chunk(min(PARTS, seen))
        sizes = [len(part) for part in parts]
    else:
        count = max(1, seen // size)
        sizes = [size] * count
    used = sum(sizes)
    mixed = []
    for _ in range(points):  # 5 × faster than sorting
        permutation = torch.randperm(landscape.count, generator=source)
        mixed.append(permutation[:used])
    order = torch.stack(mixed).to(device)  # [points, Σm]
    for indices in order.split(sizes, 1):
        yield landscape.batch(indices), indices.shape[1]


def is_additive(landscape: Landscape) -> bool:
    """Whether a mini-batch's loss is the mean over its examples; with batch norm it is not.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> is_additive(Quadratic())
    True
    """
    if not is_network(landscape):
        return True
    return not has_batch_norm(landscape.module)


def noise_vectors(
    landscape: Landscape,
    theta: Tensor,
    count: int,
    size: int,
    source: torch.Generator,
) -> Tensor:
    """`count` draws of g_B − ∇L at one point θ [n], [count, n], of i.i.d. mini-batches of `size`;
    of stated noise the columns of √C, [rank, n].

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> source = torch.Generator().manual_seed(0)
    >>> roots = noise_vectors(bowl, origin, 8, 4, source)
    >>> roots.T @ roots
    tensor([[1., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    if states_noise(landscape):  # the same second moment without chance
        covariance = landscape.noise_covariance(theta[None])[0]
        values, states = torch.linalg.eigh(covariance)
        roots: Tensor = states * values.clamp_min(0).sqrt()
        roots = roots.T
        lengths = roots.norm(dim=1)
        return roots[lengths > 1e-7 * roots.norm()]
    if has_examples(landscape):
        size = min(size, landscape.count)
        indices = torch.randint(landscape.count, (count, size), generator=source)
        batch = landscape.batch(indices.to(theta.device))
    else:
        batch = sampled_of(landscape).sample(count, size, source)
    copies = theta.expand(count, -1)
    _, gradients = value_and_grad(landscape, copies, batch)
    _, mean = value_and_grad(landscape, theta[None])
    return gradients - mean
