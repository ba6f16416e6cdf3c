"""Some examples of a data set, for each point of a cloud or for all of them."""

from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.rng import stream


class MiniBatch(NamedTuple):
    inputs: Tensor  # [P or 1, b, …]
    targets: Tensor  # [P or 1, b, …]


def partition(count: int, size: int) -> list[Tensor]:
    """The indices of so many examples in equal parts of about `size` each, [size], drawn once:
    folders come sorted by class."""
    order = torch.randperm(count, generator=stream(0, "partition"))
    return list(order.chunk(ceil(count / size)))
