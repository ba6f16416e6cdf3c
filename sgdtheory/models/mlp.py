"""Multilayer perceptron, one weight set at a time or many at once."""

from itertools import pairwise
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from sgdtheory.annotations import PositiveInt, Shape

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


class MLP(nn.Module):
    """x ← σ(W x + b) through the hidden layers, then logits W x + b.

    `init`: torch draws weights and biases uniformly in ±1/√(fan in); normal from a normal
    distribution of variance 1.
    """

    def __init__(
        self,
        shape: Shape,
        classes: PositiveInt,
        hidden: tuple[PositiveInt, ...] = (32, 32),
        activation: Literal["relu", "tanh", "sigmoid"] = "relu",
        init: Literal["torch", "normal"] = "torch",
    ) -> None:
        super().__init__()
        widths = [prod(shape), *hidden, classes]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.activation = ACTIVATIONS[activation]
        if init == "normal":
            for parameter in self.parameters():
                nn.init.normal_(parameter)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [b, classes] of inputs [b, …]."""
        x = inputs.flatten(1)  # [b, CHW]
        for depth, layer in enumerate(self.layers):
            x = layer(x if depth == 0 else self.activation(x))
        return x

    def forward_rows(self, weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Logits [P, b, classes] of P weight sets, by one batched product a layer.

        `weights` are named as in `named_parameters`, each with a leading axis of P; inputs [P, b,
        …], or [1, b, …] for a mini-batch that all rows share.
        """
        points = weights["layers.0.weight"].shape[0]
        # Columns are examples, so that the gradient of a weight comes out in the weight's own
        # layout: no copy.
        # [P, CHW, b]; sharing costs no copy, and beats one wide product
        x = inputs.flatten(2).expand(points, -1, -1).mT
        for depth in range(len(self.layers)):
            weight, bias = weights[f"layers.{depth}.weight"], weights[f"layers.{depth}.bias"]
            # [P, out, b]
            x = torch.baddbmm(bias.unsqueeze(2), weight, x if depth == 0 else self.activation(x))
        return x.mT
