"""Residual networks for small images (He et al. 2016, 1512.03385, Section 4.2)."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sgdtheory.annotations import PositiveInt
from sgdtheory.errors import UserError


def convolution(before: int, after: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias (a batch norm follows) that keeps the size at stride 1."""
    return nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)


def he_initialise(module: nn.Module) -> None:
    """Every convolution's weights ~ N(0, 2/(k²·channels out)) (He et al. 2015, 1502.01852, Eq.
    14)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


class PadShortcut(nn.Module):
    """Every second pixel, and zeros for the channels that are missing: option A, without
    parameters."""

    def __init__(self, missing: int) -> None:
        super().__init__()
        self.missing = missing

    def forward(self, x: Tensor) -> Tensor:
        """[b, C, H, W] → [b, C + missing, ⌈H/2⌉, ⌈W/2⌉]."""
        return pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.missing))


class Block(nn.Module):
    """ReLU(shortcut(x) + two 3×3 convolutions of x, each with batch norm, a ReLU between them)."""

    def __init__(self, before: int, after: int, shortcut: Literal["pad", "conv"]) -> None:
        super().__init__()
        stride = 1 if before == after else 2  # a stage that doubles the channels halves the image
        self.residual = nn.Sequential(
            convolution(before, after, 3, stride),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            convolution(after, after, 3),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module
        if before == after:
            self.shortcut = nn.Identity()
        elif shortcut == "pad":
            self.shortcut = PadShortcut(after - before)
        else:
            self.shortcut = nn.Sequential(
                convolution(before, after, 1, stride), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[b, C, H, W] → [b, C', H', W']."""
        return torch.relu(self.residual(x) + self.shortcut(x))


class ResNet(nn.Module):
    """6n + 2 layers: a 3×3 convolution, three stages of n blocks with `width`, 2·width, 4·width
    channels, mean, logits.

    On CIFAR-10 at width 16 depths 20, 32, 44, 56, 110 have 0.27, 0.46, 0.66, 0.85, 1.7 M parameters
    (Table 6). `shortcut` where the shape changes: "pad" is the paper's option A, "conv" its option
    B.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: PositiveInt,
        depth: PositiveInt = 20,
        width: PositiveInt = 16,
        shortcut: Literal["pad", "conv"] = "pad",
    ) -> None:
        super().__init__()
        self.title = f"ResNet-{depth}"
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise UserError(
                f"model.depth={depth}: a ResNet has 6n + 2 layers; take 8, 14, 20, 32, 44, "
                f"56 or 110"
            )
        channels = [width] * (blocks + 1)
        channels += [2 * width] * blocks + [4 * width] * blocks
        self.stem = nn.Sequential(convolution(shape[0], width, 3), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(
            *(Block(before, after, shortcut) for before, after in pairwise(channels))
        )
        self.head = nn.Linear(4 * width, classes)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, classes] of images [b, C, H, W]."""
        logits: Tensor = self.head(self.blocks(self.stem(images)).mean((2, 3)))
        return logits
