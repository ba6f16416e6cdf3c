"""Which examples a mini-batch is made of: the indices of step k are a pure function of (seed, k).

Draws are blocks: the indices of many consecutive steps are drawn at once, keyed by the number of
the block, and moved to the device in one copy. A resumed run draws its block again and takes the
same rows of it; of the last block no more is drawn than there are steps, where that is the
beginning of the same numbers.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.rng import stream

Sampling: TypeAlias = Literal["iid", "without_replacement", "epoch"]
# indices a block holds at most: 4 MB, and hundreds of steps for small nets
BLOCK_ELEMENTS = 1 << 19


def indices(
    sampling: Sampling,
    count: int,
    points: int,
    size: int,
    first_step: int,
    seed: int,
    device: torch.device,
    until: int | None = None,
) -> Iterator[tuple[Tensor, int]]:
    """Blocks of indices [S, P, b] into `count` examples, with the step that the block begins at;
    the first holds `first_step`. No step from `until` on is needed.

    iid: each index uniform. without_replacement: distinct inside a batch. epoch: each row walks
    through a fresh permutation per epoch (what does not fill a batch is left out, as with
    `drop_last`).
    """
    if size > count:
        raise UserError(
            f"sgd.batch_size={size} is more than the {count} examples there are; make it smaller"
        )
    per_epoch = count // size
    steps = block_steps(sampling, count, points, size)
    block = first_step // steps
    while True:
        source = stream(seed, "indices", sampling, block)
        if sampling == "iid":
            left = steps if until is None else until - block * steps
            needed = max(1, min(steps, left))
            drawn = torch.randint(count, (needed, points, size), generator=source)
        elif sampling == "without_replacement":
            drawn = distinct(count, steps * points, size, source).view(steps, points, size)
        else:
            # [P, N]
            order = torch.stack([torch.randperm(count, generator=source) for _ in range(points)])
            drawn = order[:, : per_epoch * size].reshape(points, per_epoch, size).transpose(0, 1)
        yield drawn.to(device, non_blocking=True), block * steps
        block += 1


def block_steps(sampling: Sampling, count: int, points: int, size: int) -> int:
    """How many steps a whole block is of; an epoch is one."""
    if sampling == "epoch":
        return count // size
    return max(1, BLOCK_ELEMENTS // (points * size))


def distinct(count: int, rows: int, size: int, source: torch.Generator) -> Tensor:
    """Uniform subsets [rows, size] of distinct numbers below `count`, in uniformly random order.

    Small subsets by Floyd's method (Bentley & Floyd 1987), all rows at once: for j = N − b … N − 1
    draw t ≤ j, take it, or j itself when t is taken already. It costs b²/2 comparisons a row, so
    large subsets sort random keys instead.
    """
    if size * size > 8 * count:
        return torch.rand(rows, count, generator=source).argsort(1)[:, :size]
    taken = torch.empty(rows, size, dtype=torch.int64)
    for k, j in enumerate(range(count - size, count)):
        drawn = torch.randint(j + 1, (rows,), generator=source)
        repeated = (taken[:, :k] == drawn[:, None]).any(1)
        taken[:, k] = torch.where(repeated, j, drawn)
    return taken.gather(1, torch.rand(rows, size, generator=source).argsort(1))
