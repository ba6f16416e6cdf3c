"""a + b modulo p: all pairs, of which a part is for training (Power et al. 2022, 2201.02177)."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sgdtheory.annotations import Fraction, PositiveInt
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
    first, second = (x.flatten() for x in torch.meshgrid(*[torch.arange(p)] * 2, indexing="ij"))
    sums = (first + second) % p
    if form == "tokens":
        signs = torch.full_like(first, p)
        inputs = torch.stack([first, second, signs], 1)
        nothing = torch.full_like(sums, IGNORED)
        targets = torch.stack([nothing, nothing, sums], 1)
        outputs = p + 1
    else:
        inputs = torch.cat([F.one_hot(first, p), F.one_hot(second, p)], 1).float()
        targets = sums
        outputs = p
    train, test = _split(p * p, train_share)
    name = f"sums modulo {p}"
    return Examples(inputs[train], targets[train], inputs[test], targets[test], outputs, name)


def _split(count: int, share: float) -> tuple[Tensor, Tensor]:
    """Indices of the training and of the test pairs, in order."""
    order = np.random.Generator(np.random.PCG64(DRAW)).permutation(count)
    cut = round(share * count)
    if not 0 < cut < count:
        raise UserError(f"data.train_share={share:g} of {count} sums leaves a split empty")
    train = torch.from_numpy(np.sort(order[:cut]))
    test = torch.from_numpy(np.sort(order[cut:]))
    return train, test
