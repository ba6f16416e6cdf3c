"""Compressed pictures to bytes [N, C, H, W]."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from sgdtheory.faults import Mistake

GREY, COLOUR = ("1", "L"), ("RGB", "P", "RGBA")


def decoded(sources: Iterable[tuple[str, Any]], count: int, formats: tuple[str, ...]) -> np.ndarray:
    """`count` pictures of one size, each a (name, path or binary file), as uint8 [N, C, H, W]; C = 1 (grey) or 3.

    A plain loop: a CIFAR picture takes some 70 µs, so threads spend longer on the interpreter's lock than they save
    (60,000 pictures: 4 s alone, 7 s with two threads), and torchvision's decoder costs its gain in import time.
    """
    images: np.ndarray | None = None
    first = ""
    for row, (name, source) in enumerate(sources):
        pixels = _pixels(name, source, formats)
        if images is None:
            images, first = np.empty((count, *pixels.shape), np.uint8), name
        if pixels.shape != images.shape[1:]:
            raise Mistake(f"{name} is {_size(pixels)}, but {first} is {_size(images[0])}: all must have one size")
        images[row] = pixels
    assert images is not None  # whoever calls has counted them
    return images.transpose(0, 3, 1, 2)


def _pixels(name: str, source: Any, formats: tuple[str, ...]) -> np.ndarray:
    """One picture, uint8 [H, W, C]."""
    try:
        with Image.open(source, formats=formats) as picture:
            if picture.mode not in GREY + COLOUR:
                raise Mistake(f"{name} has pixels of kind {picture.mode}: grey or RGB with 8 bits is read")
            mode = "L" if picture.mode in GREY else "RGB"
            pixels = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as fault:
        if isinstance(fault, Mistake):
            raise
        raise Mistake(f"{name} cannot be decoded as {' or '.join(formats)}") from fault
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _size(pixels: np.ndarray) -> str:
    height, width, channels = pixels.shape
    return f"{height}x{width} pixels of {channels} channel{'s' if channels > 1 else ''}"
