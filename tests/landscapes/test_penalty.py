"""What weight decay acts on."""

from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from sgdtheory.data.examples import Examples
from sgdtheory.landscapes.network import Network
from sgdtheory.models.custom import custom
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream

INPUTS, CLASSES = torch.randn(12, 6, generator=stream(0, "inputs")), torch.arange(12) % 3
DATA = Examples(INPUTS, CLASSES, INPUTS, CLASSES, 3, "drawn")


class Shifted(nn.Module):
    """A convolution with a bias [1, C, 1, 1], as weight-standardised networks write it."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(2, 1, 3, 3))
        self.bias = nn.Parameter(torch.randn(1, 2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.kernel, padding=1) + self.bias


def net() -> nn.Module:
    """Norms whose scales have two and three axes, one by another name, and classes of the user's
    own that are none."""

    class Standardised(nn.LayerNorm):
        pass

    class NormalisedHead(nn.Linear):
        pass

    class LayerNormCell(nn.Linear):
        pass

    return nn.Sequential(
        nn.LayerNorm(6),
        nn.Unflatten(1, (2, 3)),
        nn.LayerNorm([2, 3]),
        nn.Unflatten(1, (1, 2)),
        Shifted(),
        Standardised([2, 2, 3]),
        nn.Flatten(),
        LayerNormCell(12, 4),
        NormalisedHead(4, 3),
    )


@pytest.mark.parametrize("rows", ["loop", "auto"])
def test_no_bias_and_no_scale_of_a_norm_decays(rows: Literal["loop", "auto"]) -> None:
    decay = 0.1
    landscape = Network(partial(custom, factory=net), DATA, decay, rows=rows, decay="weights")
    bare = Network(partial(custom, factory=net), DATA, 0.0, rows=rows)
    theta = torch.randn(2, landscape.dim, generator=stream(0), dtype=torch.float64)
    expected = torch.zeros(2, dtype=torch.float64)
    pulls = []
    parts = theta.split([shape.numel() for shape in landscape.shapes.values()], 1)
    for name, part in zip(landscape.shapes, parts, strict=True):
        acts = name in ("4.kernel", "7.weight", "8.weight")
        expected += 0.5 * decay * acts * part.square().sum(1)
        pulls.append(decay * acts * part)
    losses, gradients = value_and_grad(landscape, theta)
    bare_losses, bare_gradients = value_and_grad(bare, theta)
    assert torch.allclose(losses - bare_losses, expected, rtol=1e-12)
    assert torch.allclose(gradients - bare_gradients, torch.cat(pulls, 1), rtol=1e-9, atol=1e-12)
