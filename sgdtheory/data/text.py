"""Text as numbers, held whole: real English that comes with every Python, because nothing has to be
downloaded."""

import re
from importlib import import_module

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError

SYMBOLS = " abcdefghijklmnopqrstuvwxyz"
TEST_SHARE = 0.1  # of the text, its end: no window of one split overlaps one of the other


def topics(train: PositiveInt = 128, test: PositiveInt = 128, window: PositiveInt = 16) -> Examples:
    """The reference manual that Python's own `help()` reads out, `pydoc_data.topics`: 376,000
    characters in Python 3.11.

    Lower case letters and spaces, whatever else stands in the text is a space (the convention of
    Mahoney's text8). Windows are spread evenly, training over the first 90 % of the text and test
    over the rest. The text is that of the Python that runs: another minor version has slightly
    different words.
    """
    # imported here, since it is half a megabyte
    pages: dict[str, str] = import_module("pydoc_data.topics").topics
    words = " ".join(pages[name] for name in sorted(pages))
    text = re.sub(r"[^a-z]+", " ", words.lower())
    codes = torch.tensor([SYMBOLS.index(symbol) for symbol in text])
    cut = round((1 - TEST_SHARE) * len(codes))
    name = "Python's help topics"
    train_pair = _windows(codes[:cut], train, window)
    test_pair = _windows(codes[cut:], test, window)
    return Examples(*train_pair, *test_pair, len(SYMBOLS), name)


def _windows(codes: Tensor, count: int, window: int) -> tuple[Tensor, Tensor]:
    """Evenly spread windows (inputs uint8 [count, T], next characters int64 [count, T]) that do not
    overlap."""
    if count * (window + 1) > len(codes):
        raise UserError(
            f"data: {count} windows of {window} + 1 characters are more than the "
            f"{len(codes):,} there are"
        )
    starts = torch.arange(count) * len(codes) // count  # at least window + 1 apart
    within = torch.arange(window + 1)
    places = starts[:, None] + within
    cut = codes[places]  # [count, T + 1]
    inputs = cut[:, :-1]
    following = cut[:, 1:]
    return inputs.to(torch.uint8), following.contiguous()
