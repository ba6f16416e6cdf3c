"""|θ|² of points, with a derivative of one product."""

import torch
from torch import Tensor

from sgdtheory.landscape import Cloud
from sgdtheory.landscapes.autograd_context import Context


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
