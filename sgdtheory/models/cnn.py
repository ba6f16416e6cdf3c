"""The plain convolutional networks of Draxler et al. 2018 (1803.00885), whose width and depth
decide the barriers."""

from itertools import pairwise

from torch import Tensor, nn

from sgdtheory.annotations import PositiveInt


class CNN(nn.Module):
    """`depth` × (convolution 5×5, max-pool 2×2, batch norm, ReLU), a dense layer of 256, batch
    norm, ReLU, logits.

    Draxler et al. vary the width (12, 24, 36, 48, 96 at depth 1) and the depth (1, 2, 3 at width
    48). All layers have biases, as theirs do; those before a batch norm change nothing: each is an
    exactly flat direction.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: PositiveInt,
        width: PositiveInt = 12,
        depth: PositiveInt = 3,
        dense: PositiveInt = 256,
    ) -> None:
        super().__init__()
        channels, *size = shape
        layers: list[nn.Module] = []
        for before, after in pairwise([channels, *[width] * depth]):
            layers.append(nn.Conv2d(before, after, kernel_size=5, padding=2))
            if (
                min(size) > 1
            ):  # a side of one pixel is not pooled away: depth 4 and more on 8×8 digits
                layers.append(nn.MaxPool2d(2))
                size = [side // 2 for side in size]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Linear(width * size[0] * size[1], dense), nn.BatchNorm1d(dense), nn.ReLU()
        )
        self.head = nn.Linear(dense, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, classes] of images [b, C, H, W]."""
        logits: Tensor = self.head(self.dense(self.convolutions(images).flatten(1)))
        return logits
