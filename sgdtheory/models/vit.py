"""A transformer of pictures (Dosovitskiy et al. 2021, 2010.11929)."""

import torch
from torch import Tensor, nn

from sgdtheory.annotations import PositiveInt, Shape
from sgdtheory.errors import UserError
from sgdtheory.models.transformer import Block, norm_of

SPREAD = 0.02  # of positions at the start, as in the paper's code


class ViT(nn.Module):
    """Patches → linear + learned positions, a class token before them → `layers` blocks → norm of
    the class token → logits.

    Initialised as the paper's code does: weights by Glorot & Bengio 2010, uniform; biases and the
    class token 0, positions normal of spread 0.02, the head by the same rule as the rest, where
    the paper's begins at 0.
    """

    def __init__(
        self,
        shape: Shape,
        classes: PositiveInt,
        patch: PositiveInt = 2,
        layers: PositiveInt = 2,
        heads: PositiveInt = 4,
        width: PositiveInt = 32,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise UserError(f"model: vit takes images [C, H, W], not inputs {list(shape)}")
        channels, height, length = shape
        if height % patch or length % patch:
            raise UserError(f"model.patch={patch} does not divide images of {height}×{length}")
        self.patch = patch
        patches = (height // patch) * (length // patch)
        self.embedding = nn.Linear(channels * patch * patch, width)
        self.class_token = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(SPREAD * torch.randn(1 + patches, width))
        blocks = (Block(width, heads, False, "layer") for _ in range(layers))
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm_of("layer", width)
        self.head = nn.Linear(width, classes)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Images [b, C, H, W] → logits [b, classes]."""
        patches = self._patches(images)
        tokens = self.embedding(patches)
        first = self.class_token.expand(len(images), 1, -1)
        stream = torch.cat([first, tokens], 1) + self.positions
        seen = self.norm(self.blocks(stream)[:, 0])
        logits: Tensor = self.head(seen)
        return logits

    def _patches(self, images: Tensor) -> Tensor:
        """[b, patches, C·patch²]."""
        examples, channels, height, length = images.shape
        size = self.patch
        cut = images.reshape(examples, channels, height // size, size, length // size, size)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(examples, -1, channels * size * size)
