"""Losses and gradients of networks that are chains, without autograd."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from sgdtheory.data.examples import Examples
from sgdtheory.landscapes.chain import Chain
from sgdtheory.landscapes.chain_of_module import ModuleChain, chain_of_module
from sgdtheory.landscapes.module_function import ModuleFunction
from sgdtheory.landscapes.penalty import Penalty
from sgdtheory.landscapes.views import Views, matrix_of, taken
from sgdtheory.losses.first_derivative import Slope, slope_of
from sgdtheory.losses.loss import Loss
from sgdtheory.protocol import Cloud, TensorsByName


@dataclass(frozen=True, eq=False)
class ByHand:
    """Mean losses of mini-batches and their gradients: forward, the slope of the loss, and two
    products a layer on the way back."""

    parts: ModuleChain
    chain: Chain
    slope: Slope
    penalty: Penalty
    pulls: dict[str, float]  # λ by the names of the trained parameters, 0 where it does not act
    frozen: tuple[str, ...]  # the names of the others
    weights: Views
    gradients: Views

    @classmethod
    def of(
        cls, function: ModuleFunction, loss: Loss, data: Examples, penalty: Penalty
    ) -> Self | None:
        """That of a module that is known to be a chain; None where it is not."""
        example = data.prepared(data.train_inputs[:1], torch.float32)
        parts = chain_of_module(function.module, example.shape[1:])
        if parts is None or not parts.names.issuperset(function.shapes):
            return None
        chain = Chain(parts.layers, frozenset(function.shapes))
        slope = slope_of(loss, data)
        shapes = function.shapes
        pulls = {name: penalty.pull_of(name) for name in shapes}
        frozen = tuple(parts.names.difference(shapes))
        return cls(parts, chain, slope, penalty, pulls, frozen, Views(shapes), Views(shapes))

    @property
    def holds(self) -> bool:
        """Whether the module is still the chain that it was: nobody has hung a function on a part
        since, or set a dropout to training."""
        is_hooked = any(self.parts.hooks)
        return not is_hooked and not any(part.training for part in self.parts.dropouts)

    def __call__(
        self,
        cloud: Cloud,
        constants: TensorsByName,
        inputs: Tensor,
        targets: Tensor,
        into: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The objective [P] of mini-batches at the points of a cloud [P, n] and its gradients [P,
        n], from frozen parameters [their own shapes], inputs and targets [P or 1, b, …]; the
        gradients are written `into` [P, n]."""
        if cloud.stride(1) != 1:
            cloud = cloud.contiguous()
        into = taken(into, cloud)
        trained = self.weights(cloud)
        weights = trained
        if self.frozen:
            frozen = {name: _as_matrix(constants[name]) for name in self.frozen}
            weights = trained | frozen
        values = self.chain.values(cloud.shape[0], weights, inputs)
        losses, slopes = self.slope(values[-1], targets)
        places = self.gradients(into)
        for name, found in self.chain.gradients(weights, values, slopes):
            pull = self.pulls[name]
            if pull:
                torch.add(found, trained[name], alpha=pull, out=places[name])
            else:
                places[name].copy_(found)
        self.penalty.add_to(losses, cloud)
        return losses, into


def _as_matrix(value: Tensor) -> Tensor:
    return value.view(1, *matrix_of(value.shape))
