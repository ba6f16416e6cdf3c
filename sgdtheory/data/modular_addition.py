"""a + b modulo p: all pairs, of which a part is for training (Power et al. 2022, 2201.02177)."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sgdtheory.annotations import Fraction, PositiveInt
from sgdtheory.data.draw import draws_of
from sgdtheory.data.examples import IGNORED, Examples
from sgdtheory.errors import UserError

DRAW = 0  # fixed: which pairs are for training is part of the data set, not of an experiment


def modular_addition(
    p: PositiveInt = 23,
    train_share: Fraction = 0.5,
    form: Literal["tokens", "one_hot"] = "tokens",
) -> Examples:
    """The p² sums a + b mod p, `train_share` of them, drawn by numpy's PCG64 with seed 0, for
    training.

    tokens: a, b and the sign = as codes [N, 3] of p + 1 symbols; the target stands at the sign, and
    what is said before counts for nothing. one_hot: two one-hot vectors [N, 2p] and the class.
    """
    if p < 2:
        raise UserError(f"data.p={p}: sums modulo less than 2 are all the same")
    numbers = torch.arange(p)
    first = numbers.repeat_interleave(p)
    second = numbers.repeat(p)
    sums = (first + second) % p
    if form == "tokens":
        signs = torch.full_like(first, p)
        inputs = torch.stack([first, second, signs], 1)
        nothing = torch.full_like(sums, IGNORED)
        targets = torch.stack([nothing, nothing, sums], 1)
        outputs = p + 1
    else:
        marks = [F.one_hot(first, p), F.one_hot(second, p)]
        inputs = torch.cat(marks, 1).float()
        targets = sums
        outputs = p
    for_training, for_test = _split(p * p, train_share)
    train = (inputs[for_training], targets[for_training])
    test = (inputs[for_test], targets[for_test])
    return Examples(*train, *test, outputs, f"sums modulo {p}")


def _split(count: int, share: float) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the test pairs, in order."""
    order = draws_of(DRAW).permutation(count)
    cut = round(share * count)
    if not 0 < cut < count:
        raise UserError(f"data.train_share={share:g} of {count} sums leaves a split empty")
    train = torch.from_numpy(np.sort(order[:cut]))
    test = torch.from_numpy(np.sort(order[cut:]))
    return train, test
