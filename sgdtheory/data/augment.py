"""Random shifts and mirror images of a whole batch at once (He et al. 2016, 1512.03385, Section
4.2)."""

import torch
from torch import Tensor

from sgdtheory.annotations import Shape


def crop_flip_draws(shape: Shape, padding: int, stream: torch.Generator) -> Tensor:
    """Draws int16 [*shape, 3] on the CPU, one triple an image: (dy, dx) in 0 … 2·padding, flip in 0
    … 1.

    `padding` pixels are added on every side; (dy, dx) is the crop's upper left corner: padding
    means not moved.
    """
    corners = torch.randint(0, 2 * padding + 1, (*shape, 2), generator=stream, dtype=torch.int16)
    flips = torch.randint(0, 2, (*shape, 1), generator=stream, dtype=torch.int16)
    return torch.cat([corners, flips], -1)


def crop_flip(images: Tensor, draws: Tensor, padding: int, fill: Tensor) -> Tensor:
    """Images [..., C, H, W] padded with the colour `fill` [C], cropped and then mirrored as drawn
    [..., 3]: same shape.

    out[c, y, x] = padded[c, dy + y, dx + (W − 1 − x if flip else x)], by one gather over flattened
    pixels.
    """
    channels, height, width = images.shape[-3:]
    flat = images.reshape(-1, channels, height, width)
    padded = _padded(flat, padding, fill).flatten(2)  # [M, C, (H+2p)(W+2p)]
    dy, dx, flip = draws.to(images.device).long().reshape(-1, 3, 1).unbind(1)  # each [M, 1]
    rows = dy + torch.arange(height, device=images.device)  # [M, H]
    columns = torch.arange(width, device=images.device)
    columns = dx + torch.where(flip == 1, width - 1 - columns, columns)  # [M, W]
    pixels = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]  # [M, H, W]
    # all channels of an image move together
    pixels = pixels.flatten(1)[:, None].expand(-1, channels, -1)
    return padded.gather(2, pixels).view_as(images)


def _padded(images: Tensor, padding: int, fill: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    size = (count, channels, height + 2 * padding, width + 2 * padding)
    padded = (
        fill.to(images)[:, None, None].expand(size).clone(memory_format=torch.contiguous_format)
    )
    padded[:, :, padding : padding + height, padding : padding + width] = images
    return padded
