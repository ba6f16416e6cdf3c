"""Losses of examples from a network's outputs, and ½λ|θ|² of points."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from sgdtheory.landscape import Cloud
from sgdtheory.landscapes.autograd_context import Context

Loss: TypeAlias = Literal["cross_entropy", "mse"]


def losses_of_outputs(loss: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Loss of each example [P, b] from outputs [P, b, K] and labels [P or 1, b]."""
    points, examples, classes = outputs.shape
    if loss == "mse":
        targets = F.one_hot(labels, classes).to(outputs.dtype)
        return (outputs - targets).square().mean(2)
    # classes along the second axis: the log-softmax of ten classes is 8 × faster there
    outputs = outputs.mT.contiguous()
    return F.cross_entropy(outputs, labels.expand(points, examples), reduction="none")


def loss_of_constant(loss: Loss, labels: Tensor, classes: int) -> float:
    """The mean loss over labels [N] of the best prediction that is the same for all, p the
    frequencies of the classes: −Σ p ln p in nats, at most ln K; of mse that of the mean label,
    (1 − Σ p²)/K."""
    labels = labels.flatten().cpu()
    counts = torch.bincount(labels, minlength=classes)
    p = counts.double() / len(labels)
    if loss == "cross_entropy":
        return float(torch.special.entr(p).sum())
    unpredicted = 1 - p.square().sum()
    return float(unpredicted / len(p))


class _SquaredNorm(torch.autograd.Function):
    """|θ|² and its derivative 2θ."""

    @staticmethod
    def forward(ctx: Context, cloud: Tensor) -> Tensor:
        """Of a cloud [P, n], [P]."""
        ctx.save_for_backward(cloud)
        norms: Tensor = torch.linalg.vector_norm(cloud, dim=1)
        return norms.square()

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> Tensor:
        """From the derivatives by the norms [P], [P, n]."""
        (cloud,) = ctx.saved_tensors
        twice = 2 * gradients[0]
        return cloud * twice[:, None]


def squared_norm(cloud: Cloud) -> Tensor:
    """|θ|² of each point [P]: one product forward and one backward, a third of what autograd makes
    of θ.square().sum()."""
    norms: Tensor = _SquaredNorm.apply(cloud)
    return norms
