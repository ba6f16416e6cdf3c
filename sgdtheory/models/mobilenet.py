"""MobileNet: convolutions that are separable in depth (Howard et al. 2017, 1704.04861)."""

from itertools import pairwise

from torch import Tensor, nn

from sgdtheory.annotations import PositiveInt
from sgdtheory.models.resnet import convolution, he_initialise


class Separable(nn.Module):
    """A 3×3 convolution of each channel by itself, then a 1×1 convolution of all; batch norm and
    ReLU after both (their Fig. 3)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        each = nn.Conv2d(before, before, 3, stride, padding=1, groups=before, bias=False)
        self.spatial = nn.Sequential(each, nn.BatchNorm2d(before), nn.ReLU())
        self.mixing = nn.Sequential(convolution(before, after, 1), nn.BatchNorm2d(after), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """[b, C, H, W] → [b, C', H', W']."""
        mixed: Tensor = self.mixing(self.spatial(x))
        return mixed


class MobileNet(nn.Module):
    """A 3×3 convolution to `width` channels, `doublings` × (a separable one to twice as many that
    halves the image, a separable one of as many), mean, logits."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: PositiveInt,
        width: PositiveInt = 8,
        doublings: PositiveInt = 2,
    ) -> None:
        super().__init__()
        channels = [width * 2**k for k in range(doublings + 1)]
        self.stem = nn.Sequential(convolution(shape[0], width, 3), nn.BatchNorm2d(width), nn.ReLU())
        blocks = []
        for before, after in pairwise(channels):
            blocks += [Separable(before, after, 2), Separable(after, after, 1)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels[-1], classes)
        he_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, classes] of images [b, C, H, W]."""
        logits: Tensor = self.head(self.blocks(self.stem(images)).mean((2, 3)))
        return logits
