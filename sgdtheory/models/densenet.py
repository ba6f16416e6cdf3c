"""Densely connected networks for small images (Huang et al. 2017, 1608.06993, Section 3)."""

from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from sgdtheory.annotations import PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.models.resnet import convolution, he_initialise


def step(before: int, after: int, kernel: int) -> list[nn.Module]:
    """Batch norm, ReLU, convolution: the order of DenseNets."""
    return [nn.BatchNorm2d(before), nn.ReLU(), convolution(before, after, kernel)]


class DenseLayer(nn.Module):
    """x ← [x, f(x)] with `growth` new channels f(x); a bottleneck first narrows x to 4·growth
    channels."""

    def __init__(self, before: int, growth: int, bottleneck: bool) -> None:
        super().__init__()
        narrow = 4 * growth
        parts = (
            [*step(before, narrow, 1), *step(narrow, growth, 3)]
            if bottleneck
            else step(before, growth, 3)
        )
        self.new = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """[b, C, H, W] → [b, C + growth, H, W]."""
        return torch.cat([x, self.new(x)], 1)


class DenseNet(nn.Module):
    """Three dense blocks of (depth − 4)/3 layers, half of it with bottlenecks, transitions between
    them, mean, logits.

    A transition keeps the fraction `compression` of the channels and halves the image. On CIFAR-10
    depth 40, growth 12 has 1.0 M parameters; BC (bottlenecks, compression 0.5) at depth 100, growth
    12 has 0.8 M (Table 2). No dropout: the paper drops it when images are augmented, and a
    landscape must be a function of its weights.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: PositiveInt,
        depth: PositiveInt = 40,
        growth: PositiveInt = 12,
        bottleneck: bool = False,
        compression: Annotated[float, Gt(0), Le(1)] = 1.0,
    ) -> None:
        super().__init__()
        self.title = f"DenseNet-{'BC-' if bottleneck else ''}{depth}-{growth}"
        unit = 6 if bottleneck else 3
        layers, rest = divmod(depth - 4, unit)
        if rest or layers < 1:
            formula = (
                "6n + 4 layers with bottlenecks; take 10, 40 or 100"
                if bottleneck
                else "3n + 4 layers; take 10 or 40"
            )
            raise UserError(f"model.depth={depth}: a DenseNet has {formula}")
        if min(shape[1:]) < 4:
            raise UserError(
                f"a DenseNet halves images twice: {shape[1]}x{shape[2]} pixels are too few, "
                f"at least 4x4"
            )
        channels = 2 * growth if bottleneck else 16
        parts: list[nn.Module] = [convolution(shape[0], channels, 3)]
        for block in range(3):
            if block > 0:
                kept = max(1, int(compression * channels))
                parts += [*step(channels, kept, 1), nn.AvgPool2d(2)]
                channels = kept
            parts += [
                DenseLayer(channels + growth * layer, growth, bottleneck) for layer in range(layers)
            ]
            channels += growth * layers
        self.features = nn.Sequential(*parts, nn.BatchNorm2d(channels), nn.ReLU())
        self.head = nn.Linear(channels, classes)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, classes] of images [b, C, H, W]."""
        logits: Tensor = self.head(self.features(images).mean((2, 3)))
        return logits
