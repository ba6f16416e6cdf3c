"""Compressed pictures to bytes [N, C, H, W]."""

import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from PIL import Image

from sgdtheory.errors import UserError
from sgdtheory.runs.memory import refuse_what_does_not_fit

Source: TypeAlias = Path | IO[bytes]  # of one compressed picture
GREY = ("1", "L", "LA")
COLOUR = ("RGB", "RGBX", "P", "PA", "RGBA")
MOST_SIDE = 4096  # pixels squared: what a header may announce of one picture
FRAMES = "only the first frame is read"
ALPHA = "the alpha channel is left out"


def decoded(
    sources: Iterable[tuple[str, Source]], count: int, formats: tuple[str, ...]
) -> tuple[np.ndarray, Counter[str]]:
    """`count` pictures of one size, each a (name, path or binary file), as uint8 [N, C, H, W]; C =
    1 (grey) or 3.

    Besides: of how many pictures something was left out, by what it was. A picture's size is known
    before it is decoded. A plain loop: a CIFAR picture takes some 70 µs, so threads spend longer on
    the interpreter's lock than they save (60,000 pictures: 4 s alone, 7 s with two threads), and
    torchvision's decoder costs its gain in import time.
    """
    images: np.ndarray | None = None
    first = ""
    left_out: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for row, (name, source) in enumerate(sources):
            pixels = _pixels(name, source, formats, left_out)
            if images is None:
                height, width, _ = pixels.shape
                what = f"{name} and {count - 1:,} more of {height}x{width} pixels"
                refuse_what_does_not_fit(count * pixels.size, what)
                images = np.empty((count, *pixels.shape), np.uint8)
                first = name
            if pixels.shape != images.shape[1:]:
                raise UserError(
                    f"{name} is {_size(pixels)}, but {first} is {_size(images[0])}: all must "
                    f"have one size"
                )
            images[row] = pixels
    assert images is not None  # whoever calls has counted them
    return images.transpose(0, 3, 1, 2), left_out


def _pixels(
    name: str, source: Source, formats: tuple[str, ...], left_out: Counter[str]
) -> np.ndarray:
    """One picture, uint8 [H, W, C]."""
    try:
        with Image.open(source, formats=formats) as picture:
            width, height = picture.size
            if width * height > MOST_SIDE**2:
                raise _too_large(name, f"{height:,}x{width:,} pixels")
            if picture.mode not in GREY + COLOUR:
                raise UserError(
                    f"{name} has pixels of kind {picture.mode}: grey or RGB with 8 bits is read"
                )
            left_out[FRAMES] += bool(getattr(picture, "is_animated", False))
            left_out[ALPHA] += _is_see_through(picture)
            mode = "L" if picture.mode in GREY else "RGB"
            plain: Image.Image = picture
            if picture.mode != mode:
                plain = picture.convert(mode)
            pixels = np.asarray(plain)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as fault:
        raise _too_large(name, "more pixels than Pillow opens") from fault
    except Exception as fault:  # a damaged file makes decoders raise whatever comes to their minds
        if isinstance(fault, UserError):
            raise
        if isinstance(fault, OSError) and fault.strerror:
            raise UserError(f"{name} cannot be read ({fault.strerror})") from fault
        known = ", ".join(formats)
        raise UserError(f"{name} cannot be decoded as {known}") from fault
    if pixels.ndim == 2:
        return pixels[:, :, None]
    return pixels


def _too_large(name: str, what: str) -> UserError:
    return UserError(
        f"{name} has {what}: at most {MOST_SIDE:,}x{MOST_SIDE:,} are read; make it smaller"
    )


def _is_see_through(picture: Image.Image) -> bool:
    """Whether something of a picture's alpha channel is not opaque."""
    if picture.mode in ("LA", "PA", "RGBA"):
        lowest = picture.getchannel("A").getextrema()[0]
        return isinstance(lowest, int | float) and lowest < 255
    return "transparency" in picture.info


def _size(pixels: np.ndarray) -> str:
    height, width, channels = pixels.shape
    ending = "s" if channels > 1 else ""
    return f"{height}x{width} pixels of {channels} channel{ending}"
