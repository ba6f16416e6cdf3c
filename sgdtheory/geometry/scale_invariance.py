"""Which parameters a network's loss does not feel the length of: those that a normalisation
follows."""

import torch
from torch import Generator, Tensor

from sgdtheory.landscape import Cloud, Landscape, value_and_grad
from sgdtheory.roles import WithExamples, is_network, weight_decay_of

BATCHES, EXAMPLES = 4, 32  # mini-batches that are asked, and their size
# of a random start: biases that start at zero would make what stands before them look invariant
SHAKE = 0.1
# |cos(w, ∇_w L)| up to which w·∇_w L counts as zero; the ε inside a batch norm leaves about 1e-4 of
# it
COSINE = 0.01


def scale_invariant(landscape: Landscape, source: Generator) -> Tensor:
    """Groups [n] of a landscape's parameters: k > 0 for the k-th tensor w with L(c·w) = L(w), 0 for
    all the rest.

    Measured, whatever the network looks like: w·∇_w L = 0 (Euler; van Laarhoven 2017, 1706.05350)
    of the loss without weight decay, on four mini-batches at a random point. Landscapes that are no
    networks have none.
    """
    groups = torch.zeros(landscape.dim, dtype=torch.int16)
    if not is_network(landscape):
        return groups
    theta = landscape.init(1, source).double()
    theta += SHAKE * torch.randn(theta.shape, generator=source, dtype=theta.dtype).to(theta)
    sizes = [shape.numel() for shape in landscape.shapes.values()]
    # [BATCHES, tensors]
    cosines = torch.stack([_cosines(landscape, theta, sizes, source) for _ in range(BATCHES)])
    found = (cosines <= COSINE).all(0)
    for k, (part, invariant) in enumerate(zip(groups.split(sizes), found.tolist(), strict=True)):
        part.fill_(k + 1 if invariant else 0)
    return groups


def _cosines(landscape: WithExamples, theta: Cloud, sizes: list[int], source: Generator) -> Tensor:
    """|cos(w, ∇_w L)| of every tensor of parameters; 1 where either is zero: what feels nothing has
    no direction to judge."""
    indices = torch.randint(
        landscape.count, (1, min(EXAMPLES, landscape.count)), generator=source
    ).to(theta.device)
    gradient = value_and_grad(landscape, theta, landscape.batch(indices))[1][0]
    gradient = gradient - weight_decay_of(landscape) * theta[0]
    found = []
    for w, g in zip(theta[0].split(sizes), gradient.split(sizes), strict=True):
        scale = float(w.norm() * g.norm())
        found.append(abs(float(w @ g)) / scale if scale > 1e-12 else 1.0)
    return torch.tensor(found)


def with_norms_of(cloud: Cloud, like: Cloud, groups: Tensor) -> Cloud:
    """`cloud` [P, n], every scale-invariant tensor stretched to the length that it has in `like`
    [P, n]: the same loss."""
    found = cloud.clone()
    for k in groups.unique().tolist():
        if k:
            w = found[:, groups == k]
            found[:, groups == k] = w * (like[:, groups == k].norm(dim=1) / w.norm(dim=1))[:, None]
    return found
