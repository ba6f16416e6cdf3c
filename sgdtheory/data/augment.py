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
    places = 2 * padding + 1
    corners = _drawn(places, (*shape, 2), stream)
    flips = _drawn(2, (*shape, 1), stream)
    return torch.cat([corners, flips], -1)


def _drawn(values: int, shape: Shape, stream: torch.Generator) -> Tensor:
    """Integers below `values`, int16 of this shape."""
    return torch.randint(values, shape, generator=stream, dtype=torch.int16)


def crop_flip(images: Tensor, draws: Tensor, padding: int, fill: Tensor) -> Tensor:
    """Images [..., C, H, W] padded with the colour `fill` [C], cropped and then mirrored as drawn
    [..., 3]: same shape.

    out[c, y, x] = padded[c, dy + y, dx + (W − 1 − x if flip else x)], by one gather over flattened
    pixels.
    """
    channels, height, width = images.shape[-3:]
    flat = images.reshape(-1, channels, height, width)
    padded = _padded(flat, padding, fill)  # [M, C, H + 2p, W + 2p]
    padded_width = padded.shape[3]
    triples = draws.to(images.device).long()
    dy, dx, flip = triples.reshape(-1, 3, 1).unbind(1)  # each [M, 1]
    y = torch.arange(height, device=images.device)
    x = torch.arange(width, device=images.device)
    mirrored = width - 1 - x
    rows = dy + y  # [M, H]
    columns = dx + torch.where(flip == 1, mirrored, x)  # [M, W]
    row_starts = rows[:, :, None] * padded_width  # [M, H, 1]
    pixels = row_starts + columns[:, None, :]  # [M, H, W]
    # all channels of an image move together
    pixels = pixels.flatten(1)[:, None]
    of_channels = pixels.expand(-1, channels, -1)
    moved = padded.flatten(2).gather(2, of_channels)
    return moved.view_as(images)


def _padded(images: Tensor, padding: int, fill: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    bottom = padding + height
    right = padding + width
    shape = (count, channels, bottom + padding, right + padding)
    padded = images.new_empty(shape)
    colour = fill.to(images)
    padded[:] = colour[:, None, None]
    padded[:, :, padding:bottom, padding:right] = images
    return padded
