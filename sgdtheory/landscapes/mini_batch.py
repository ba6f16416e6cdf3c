"""Some examples of a data set, for each point of a cloud or for all of them."""

from collections.abc import Callable, Iterable
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.protocol import Batch
from sgdtheory.rng import stream


class MiniBatch(NamedTuple):
    inputs: Tensor  # [P or 1, b, …]
    targets: Tensor  # [P or 1, b, …]


def taken_from(examples: Tensor, indices: Tensor) -> Tensor:
    """The examples [P, b, …] of these indices [P, b], of [N, …]."""
    flat = indices.reshape(-1)  # index_select is twice as fast as advanced indexing
    taken = examples.index_select(0, flat)
    return taken.view(*indices.shape, *taken.shape[1:])


def mean_over_parts(
    losses: Callable[[Batch], Tensor], parts: Iterable[tuple[Batch, float]]
) -> Tensor:
    """The mean of losses [P] over parts with these weights."""
    weighted = [weight * losses(part) for part, weight in parts]
    return torch.stack(weighted).sum(0)


def partition(count: int, size: int) -> list[Tensor]:
    """The indices of so many examples in equal parts of about `size` each, [size], drawn once:
    folders come sorted by class."""
    order = torch.randperm(count, generator=stream(0, "partition"))
    return list(order.chunk(ceil(count / size)))
