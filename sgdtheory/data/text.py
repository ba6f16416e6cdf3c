"""Text as numbers, held whole: real English that comes with every Python, because nothing has to be
downloaded."""

import re
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.errors import UserError

SYMBOLS = " abcdefghijklmnopqrstuvwxyz"
TEST_SHARE = 0.1  # of the text, its end: no window of one split overlaps one of the other


@dataclass(frozen=True, eq=False)
class Text:
    """Windows of T characters uint8 [N, T] and, at each character, the next one int64 [N, T]; codes
    0 … classes − 1.

    The names are those of `Images`, so that whatever knows a labelled data set knows this one: a
    window is an example.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: int
    name: str
    augment: Literal["none"] = "none"

    @property
    def shape(self) -> tuple[int, ...]:
        """(T,) of one window."""
        return tuple(self.train_images.shape[1:])

    @property
    def count(self) -> int:
        """N, the number of training windows."""
        return self.train_images.shape[0]

    def scaled(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        """Codes are names, not quantities: only their dtype changes, […] → […]."""
        return codes.to(dtype)

    def augmentation(self, shape: tuple[int, ...], stream: torch.Generator) -> None:
        """Nothing is done to text."""
        return

    def to(self, device: torch.device | str) -> "Text":
        """The same windows on another device."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def topics(train: PositiveInt = 128, test: PositiveInt = 128, window: PositiveInt = 16) -> Text:
    """The reference manual that Python's own `help()` reads out, `pydoc_data.topics`: 376,000
    characters in Python 3.11.

    Lower case letters and spaces, whatever else stands in the text is a space (the convention of
    Mahoney's text8). Windows are spread evenly, training over the first 90 % of the text and test
    over the rest. The text is that of the Python that runs: another minor version has slightly
    different words.
    """
    from pydoc_data.topics import topics as pages  # type: ignore[import-untyped]  # here: half a megabyte of text

    text = re.sub(r"[^a-z]+", " ", " ".join(pages[name] for name in sorted(pages)).lower())
    codes = torch.tensor([SYMBOLS.index(symbol) for symbol in text])
    cut = round((1 - TEST_SHARE) * len(codes))
    parts = [_windows(codes[:cut], train, window), _windows(codes[cut:], test, window)]
    (train_images, train_labels), (test_images, test_labels) = parts
    return Text(
        train_images, train_labels, test_images, test_labels, len(SYMBOLS), "Python's help topics"
    )


def _windows(codes: Tensor, count: int, window: int) -> tuple[Tensor, Tensor]:
    """Evenly spread windows (inputs uint8 [count, T], next characters int64 [count, T]) that do not
    overlap."""
    if count * (window + 1) > len(codes):
        raise UserError(
            f"data: {count} windows of {window} + 1 characters are more than the "
            f"{len(codes):,} there are"
        )
    starts = torch.arange(count) * len(codes) // count  # at least window + 1 apart
    cut = codes[starts[:, None] + torch.arange(window + 1)]
    return cut[:, :-1].to(torch.uint8), cut[:, 1:].contiguous()
