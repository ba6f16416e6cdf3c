"""Losses and gradients of networks that are chains, without autograd."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple, Self

import torch
from torch import Tensor

from sgdtheory.data.examples import Examples
from sgdtheory.landscapes.chain import Chain
from sgdtheory.landscapes.chain_of_module import ModuleChain, chain_of_module
from sgdtheory.landscapes.module_function import ModuleFunction
from sgdtheory.landscapes.penalty import Penalty
from sgdtheory.losses.first_derivative import Slope, slope_of
from sgdtheory.losses.loss import Loss
from sgdtheory.protocol import Cloud, TensorsByName


class Place(NamedTuple):
    """Where a parameter lies in θ, as a matrix: a bias is a column."""

    name: str
    shape: tuple[int, int]
    offset: int
    pull: float  # λ, 0 where it does not act


@dataclass(frozen=True, eq=False)
class ByHand:
    """Mean losses of mini-batches and their gradients: forward, the slope of the loss, and two
    products a layer on the way back."""

    parts: ModuleChain
    chain: Chain
    slope: Slope
    penalty: Penalty
    places: tuple[Place, ...]  # of the trained parameters, in their order in θ
    frozen: tuple[str, ...]  # the other parameters

    @classmethod
    def of(
        cls, function: ModuleFunction, loss: Loss, data: Examples, penalty: Penalty
    ) -> Self | None:
        """That of a module that is known to be a chain; None where it is not."""
        parts = chain_of_module(function.module, data.shape)
        if parts is None or not parts.names.issuperset(function.shapes):
            return None
        chain = Chain(parts.layers, frozenset(function.shapes))
        slope = slope_of(loss, data)
        places = tuple(_places(function, penalty))
        frozen = tuple(parts.names.difference(function.shapes))
        return cls(parts, chain, slope, penalty, places, frozen)

    @property
    def holds(self) -> bool:
        """Whether the module is still the chain that it was."""
        return self.parts.holds

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
        if into is None or not into.is_contiguous():
            into = cloud.new_empty(cloud.shape)
        trained = self._views(cloud)
        weights = trained
        if self.frozen:
            frozen = {name: _as_matrix(constants[name]) for name in self.frozen}
            weights = trained | frozen
        values = self.chain.values(cloud.shape[0], weights, inputs)
        losses, slopes = self.slope(values[-1], targets)
        places = self._views(into)
        for name, found in self.chain.gradients(weights, values, slopes):
            pull = self.pulls[name]
            if pull:
                torch.add(found, trained[name], alpha=pull, out=places[name])
            else:
                places[name].copy_(found)
        self.penalty.add_to(losses, cloud)
        return losses, into

    @cached_property
    def pulls(self) -> dict[str, float]:
        """λ by the names of the trained parameters, 0 where it does not act."""
        return {place.name: place.pull for place in self.places}

    def _views(self, cloud: Tensor) -> TensorsByName:
        """The trained parameters as matrices, views of a cloud [P, n]: half of what splitting it
        costs."""
        points, between, begin = cloud.shape[0], cloud.stride(0), cloud.storage_offset()
        views = {}
        for name, (rows, columns), offset, _ in self.places:
            shape, strides = (points, rows, columns), (between, columns, 1)
            views[name] = cloud.as_strided(shape, strides, begin + offset)
        return views


def _places(function: ModuleFunction, penalty: Penalty) -> Iterator[Place]:
    offset = 0
    for name, shape in function.shapes.items():
        yield Place(name, _matrix(shape), offset, penalty.pull_of(shape))
        offset += shape.numel()


def _matrix(shape: torch.Size) -> tuple[int, int]:
    rows, *columns = shape
    return rows, prod(columns)


def _as_matrix(value: Tensor) -> Tensor:
    return value.view(1, *_matrix(value.shape))
