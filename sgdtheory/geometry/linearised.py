"""A landscape replaced by what it is at one of its minima: harmonic, with the gradient noise that
it has there.
"""

from functools import cached_property

import torch
from torch import Generator, Tensor

from sgdtheory.geometry.gradient_noise import example_gradients
from sgdtheory.geometry.hessian import hessian
from sgdtheory.protocol import Cloud, value_and_grad
from sgdtheory.roles.examples import WithExamples

AT_ONCE = 256  # examples whose gradients are taken together


class Linearised:
    """L(θ) = L* + ½(θ−θ*)ᵀH(θ−θ*); example i adds (g_i − ḡ)·(θ−θ*), g_i its gradient at θ*.

    The control for any linear theory of the noise, which has to be exact on this landscape. H and
    all g_i are written down, n² and N·n numbers, when they are first needed.
    """

    def __init__(self, landscape: WithExamples, theta: Tensor) -> None:
        self.of = landscape
        self.theta = theta.double()  # θ* [n]
        self.count = landscape.count
        self.dim = theta.numel()
        self.device = theta.device

    @cached_property
    def hessian(self) -> Tensor:
        """H [n, n]."""
        return hessian(self.of, self.theta)

    @cached_property
    def noise(self) -> Tensor:
        """g_i − ḡ [N, n]."""
        chunks = torch.arange(self.count, device=self.device).split(AT_ONCE)
        gradients = torch.cat([example_gradients(self.of, self.theta, chunk) for chunk in chunks])
        return gradients - gradients.mean(0)

    @cached_property
    def lowest(self) -> float:
        """L*."""
        return float(value_and_grad(self.of, self.theta[None])[0][0])

    @cached_property
    def _single(self) -> tuple[Tensor, Tensor]:
        return self.hessian.float(), self.noise.float()

    def init(self, points: int, stream: Generator) -> Cloud:
        """All at θ*, [points, n]."""
        return self.theta.expand(points, -1).clone()

    def batch(self, indices: Tensor) -> Tensor:
        """The mean of g_i − ḡ over examples [P, b], [P, n]."""
        noise = self._single[1]
        return torch.nn.functional.embedding_bag(indices, noise, mode="mean")

    def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
        """The losses [P] of a cloud [P, n], with mean noise `batch` [P, n]."""
        away = cloud - self.theta.to(cloud)
        hessian = self.hessian
        if cloud.dtype != torch.float64:
            hessian = self._single[0]
        curved = ((away @ hessian) * away).sum(1)
        losses = self.lowest + 0.5 * curved
        if batch is None:
            return losses
        tilts = batch.to(cloud.dtype) * away
        return losses + tilts.sum(1)

    def modes(self) -> tuple[Tensor, Tensor]:
        """All eigenvalues h_i [n] of H and the share C_ii/Tr C [n] of the noise at each: exact."""
        curvatures, modes = torch.linalg.eigh(self.hessian)
        projections = self.noise @ modes
        variances = projections.square().mean(0)
        return curvatures, variances / variances.sum()

    def minima(self) -> Tensor:
        """θ* [1, n]."""
        return self.theta[None]
