"""The parameters whose length does not change a network's loss: those that a normalisation
follows."""

import torch
from torch import Generator, Tensor

from sgdtheory.protocol import Batch, Cloud, Landscape, value_and_grad
from sgdtheory.roles.examples import WithExamples, WithOutputs, has_outputs, is_network
from sgdtheory.roles.facts import decay_gradient

BATCHES = 4  # of the measurement
EXAMPLES = 32  # in a batch
# added to a random start: biases of zero would make the weights before them look invariant
SHAKE = 0.1
# |cos(w, ∇_w L)| up to which w·∇_w L may be zero; the ε inside a batch norm leaves about 1e-4 of it
COSINE = 0.01
STRETCH = 8.0  # of what may be invariant; shrinking it would have batch norm's ε be felt
# relative change of the outputs up to which they stay: ε leaves 2e-3, and what is not invariant
# moves them by 4e-2 and more (ResNets, DenseNets, CNNs, MLPs, transformers: measured)
STAYS = 0.01


def scale_invariant(landscape: Landscape, source: Generator) -> Tensor:
    """Groups [n] of a landscape's parameters: k > 0 for the k-th tensor w with L(c·w) = L(w), 0 for
    all the rest.

    Measured, whatever the network looks like, at a random point: w·∇_w L = 0 (Euler; van Laarhoven
    2017, 1706.05350) of the loss without weight decay on four mini-batches, and outputs that stay
    when w is eight times as long. The first alone also holds by chance, for the cosine of two
    vectors of n numbers is of order 1/√n. Landscapes that are no networks have none.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> scale_invariant(Quadratic((4.0, 1.0)), torch.Generator())
    tensor([0, 0], dtype=torch.int16)
    """
    groups = torch.zeros(landscape.dim, dtype=torch.int16)
    if not is_network(landscape) or not has_outputs(landscape):
        return groups
    theta = landscape.init(1, source).double()
    shakes = torch.randn(theta.shape, generator=source, dtype=theta.dtype)
    theta += SHAKE * shakes.to(theta)
    sizes = [shape.numel() for shape in landscape.shapes.values()]
    batches = [_batch(landscape, theta, source) for _ in range(BATCHES)]
    of_batches = [_cosines(landscape, theta, sizes, batch) for batch in batches]
    cosines = torch.stack(of_batches)  # [BATCHES, tensors]
    may_be = (cosines <= COSINE).all(0)
    outputs = _outputs(landscape, theta, batches[0])
    spread = float((outputs - outputs.mean(0)).norm())
    for k, own in enumerate(torch.arange(landscape.dim).split(sizes)):
        if not may_be[k]:
            continue
        stretched = theta.clone()
        stretched[:, own.to(theta.device)] *= STRETCH
        moved = _outputs(landscape, stretched, batches[0])
        if float((moved - outputs).norm()) <= STAYS * spread:
            groups[own] = k + 1
    return groups


def _batch(landscape: WithExamples, theta: Cloud, source: Generator) -> Batch:
    size = min(EXAMPLES, landscape.count)
    indices = torch.randint(landscape.count, (1, size), generator=source)
    return landscape.batch(indices.to(theta.device))


def _outputs(landscape: WithOutputs, theta: Cloud, batch: Batch) -> Tensor:
    """Of one point θ [1, n], [b, …] float64."""
    with torch.no_grad():
        return landscape.twice_differentiable_outputs(theta, batch)[0].double()


def _cosines(
    landscape: WithExamples,
    theta: Cloud,
    sizes: list[int],
    batch: Batch,
) -> Tensor:
    """|cos(w, ∇_w L)| of every tensor of parameters [tensors], of one point θ [1, n]; 1 where
    either is zero, because a zero vector has no direction."""
    _, gradients = value_and_grad(landscape, theta, batch)
    weights = theta[0]
    gradient = gradients[0] - decay_gradient(landscape, theta)[0]
    tensors = zip(weights.split(sizes), gradient.split(sizes), strict=True)
    cosines = []
    for w, g in tensors:
        cosine = 1.0
        scale = float(w.norm() * g.norm())
        if scale > 1e-12:
            cosine = abs(float(w @ g)) / scale
        cosines.append(cosine)
    return torch.tensor(cosines)


def with_norms_of(cloud: Cloud, like: Cloud, groups: Tensor) -> Cloud:
    """`cloud` [P, n] with every scale-invariant tensor stretched to the length that it has in
    `like` [P, n]: the same loss. `groups` [n] as from `scale_invariant`.

    >>> cloud, like = torch.tensor([[3.0, 4.0, 1.0]]), torch.tensor([[0.0, 10.0, 2.0]])
    >>> with_norms_of(cloud, like, torch.tensor([1, 1, 0]))
    tensor([[6., 8., 1.]])
    """
    stretched = cloud.clone()
    for k in groups[groups > 0].unique():
        own = groups == k
        weights = stretched[:, own]
        lengths = like[:, own].norm(dim=1)
        factors = lengths / weights.norm(dim=1)
        stretched[:, own] = weights * factors[:, None]
    return stretched
