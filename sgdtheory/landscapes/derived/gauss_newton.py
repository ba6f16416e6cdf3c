"""A landscape with the Gauss–Newton matrix in the place of its Hessian."""

from typing import Any

import torch
from torch import Generator, Tensor

from sgdtheory.losses.second_derivative import curved, why_not_convex
from sgdtheory.protocol import Batch, Cloud, Landscape, value_and_grad
from sgdtheory.roles.examples import WithOutputs, has_outputs
from sgdtheory.roles.facts import decay_gradient, title_of


class GaussNewton:
    """G = mean over examples of Jᵀ(∇²_f ℓ)J + λ, J = ∂f/∂θ of an example's outputs f, λ where the
    decay acts (Schraudolph 2002, 10.1162/08997660260028683).

    H − G = Σ_k (∂ℓ/∂f_k)∇²f_k, the mean over examples: none where outputs are linear in θ. With
    batch norm f depends on all examples of a part of the objective, through its statistics, and so
    does J.
    """

    def __init__(self, landscape: WithOutputs) -> None:
        self._landscape = landscape

    def __getattr__(self, name: str) -> Any:
        """All else is the landscape's own."""
        return getattr(self._landscape, name)

    @property
    def dim(self) -> int:
        return self._landscape.dim

    def init(self, points: int, stream: Generator) -> Cloud:
        return self._landscape.init(points, stream)

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        return self._landscape.losses(cloud, batch)

    def losses_and_gradients(
        self, cloud: Cloud, batch: Batch | None = None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return value_and_grad(self._landscape, cloud, batch, into)

    def curvature_products(self, cloud: Cloud, vectors: Tensor, batch: Batch) -> Tensor:
        """Gv [P, n] for each of vectors [P, n] at the points of a cloud [P, n], on a mini-batch.

        Jv is the derivative by u of (Jᵀu)·v, which is linear in u: two backward passes, through
        whatever has a second derivative.
        """
        leaf = cloud.detach().requires_grad_()
        with torch.enable_grad():
            outputs = self._landscape.twice_differentiable_outputs(leaf, batch)  # [P, b, …]
            cotangents = torch.zeros_like(outputs, requires_grad=True)
            paired = (outputs * cotangents).sum()
            (pulled,) = torch.autograd.grad(paired, leaf, create_graph=True)  # Jᵀu [P, n]
            along = (pulled * vectors).sum()
            (tangents,) = torch.autograd.grad(along, cotangents, retain_graph=True)  # Jv
            of_loss = curved(self._landscape.loss, outputs.detach(), batch.targets, tangents)
            mean = (outputs * of_loss).sum() / outputs.shape[1]
            (products,) = torch.autograd.grad(mean, leaf)
        # the gradient of ½λ|θ|² is linear in θ: at v it is the product with v
        return products + decay_gradient(self._landscape, vectors)


def why_no_gauss_newton(landscape: Landscape, theta: Tensor) -> str:
    """Why there is no Gauss–Newton matrix at θ [n] that is a curvature; empty where there is."""
    if not has_outputs(landscape):
        return f"{title_of(landscape)} is no loss of outputs"
    for batch, _ in landscape.parts():
        with torch.no_grad():
            outputs = landscape.twice_differentiable_outputs(theta[None], batch)
        why = why_not_convex(landscape.loss, outputs, batch.targets)
        if why:
            return why
    return ""
