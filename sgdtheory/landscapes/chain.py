"""Chains of linear maps and pointwise functions, with their gradients written down: on small
networks autograd costs more than the products."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from sgdtheory.protocol import TensorsByName


class Affine(NamedTuple):
    """x → Wx + c, by the names of W and c among a module's parameters."""

    weight: str
    bias: str | None


class Pointwise(NamedTuple):
    """x → σ(x), each number by itself."""

    value: Callable[[Tensor], Tensor]
    pulled: Callable[[Tensor, Tensor, Tensor], Tensor]  # (g, x, σ(x)) → g·σ'(x)


Layer: TypeAlias = Affine | Pointwise


@dataclass(frozen=True)
class Chain:
    """f(x) = layer_L(… layer_1(x)) of P sets of weights at once, and its gradient by hand.

    `trained`: the names of the parameters that have a gradient. Between the layers x is [P, width,
    b], examples in columns, so that the gradient of a weight comes out in the weight's own layout.
    """

    layers: tuple[Layer, ...]
    trained: frozenset[str]

    @cached_property
    def lowest(self) -> int:
        """The place of the first layer that has a gradient: below it nothing is propagated."""
        return min(k for k, layer in enumerate(self.layers) if self._is_trained(layer))

    def _is_trained(self, layer: Layer) -> bool:
        return isinstance(layer, Affine) and not self.trained.isdisjoint(layer)

    def values(self, points: int, weights: TensorsByName, inputs: Tensor) -> list[Tensor]:
        """x before each layer and behind the last, [P, width, b] each, from inputs [P or 1, b, …]
        and weights [P or 1, out, in] and biases [P or 1, out, 1]."""
        x = _of_points(inputs.flatten(2).mT, points)
        found = [x]
        for layer in self.layers:
            x = _affine(layer, weights, x) if isinstance(layer, Affine) else layer.value(x)
            found.append(x)
        return found

    def gradients(
        self, weights: TensorsByName, values: list[Tensor], slopes: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        """Σ over examples of ∂ℓ/∂θ by the names of the trained parameters, weights [P, out, in] and
        biases [P, out, 1], from `values` and the slopes ∂ℓ/∂f [P, K, b]: one at a time, since what
        is used at once is still near the processor."""
        points = slopes.shape[0]
        for place in reversed(range(self.lowest, len(self.layers))):
            layer = self.layers[place]
            x = values[place]
            if not isinstance(layer, Affine):
                slopes = layer.pulled(slopes, x, values[place + 1])
                continue
            if layer.bias is not None and layer.bias in self.trained:
                yield layer.bias, slopes.sum(2, keepdim=True)
            if layer.weight in self.trained:
                yield layer.weight, torch.bmm(slopes, x.mT)
            if place > self.lowest:
                weight = _of_points(weights[layer.weight], points)
                slopes = torch.bmm(weight.mT, slopes)


def _affine(layer: Affine, weights: TensorsByName, x: Tensor) -> Tensor:
    """Wx + c [P, out, b] of x [P, in, b]."""
    weight = _of_points(weights[layer.weight], x.shape[0])
    if layer.bias is None:
        return torch.bmm(weight, x)
    return torch.baddbmm(weights[layer.bias], weight, x)


def _of_points(matrix: Tensor, points: int) -> Tensor:
    """A matrix [P, …], or the one [1, …] that all points share, for each of the points."""
    if matrix.shape[0] == points:
        return matrix
    return matrix.expand(points, -1, -1)
