"""Sums over the values of each channel that are right in float32, on views of the values.

torch's kernel adds the values of a channel one after the other where channels come last. Here the
same kernel gets [R, k·C] for [k·R, C], a view: it adds R values in each of k·C columns, and the k
groups of a channel are joined by Chan's formula (Chan, Golub & LeVeque 1983, Eq. 2.1).
"""

from math import gcd, prod

import torch
from torch import Tensor

# values that may be added one after the other: an error of a few 1e-7 where nothing is joined
ROWS = 256
VECTOR = 16  # float32 values that a core handles at once: with fewer channels rows are made wide
SMALL = 1 << 17  # values for which an operation's own cost is more than that of the numbers
COLUMNS = 2048  # the sums of so many columns stay in a core's nearest memory


def suits_torch(inputs: Tensor) -> bool:
    """Whether torch's kernel is right on inputs [N, C, …]: few values, or the channels are not the
    last axis, where it adds in float64."""
    if few_values(inputs):
        return True
    if inputs.dim() == 3 and not inputs.is_contiguous():
        # sequences: torch knows no layout of theirs with channels last, and makes them contiguous
        return True
    examples, channels = inputs.shape[:2]
    has_pixels = inputs.numel() != examples * channels
    return has_pixels and not inputs.movedim(1, -1).is_contiguous()


def few_values(inputs: Tensor) -> bool:
    """Whether inputs [N, C, …] have so few values of a channel that they may be added one after the
    other."""
    return inputs.numel() <= ROWS * inputs.shape[1]


def sums_of_few(inputs: Tensor) -> bool:
    """Whether `averages` of inputs [N, C, …] adds few values one after the other, and these are few
    in all: for more of them `normalised` has the faster second derivative, for fewer plain
    products."""
    values = inputs.numel()
    if values > SMALL:
        return False
    channels = inputs.shape[1]
    count = values // channels
    return count <= ROWS * groups_of(count, channels)


def averages(values: Tensor, channels_first: bool = False) -> Tensor:
    """The average [C] of values [N, C, T] or [N, …, C], by products with ones: no other sum has as
    fast a second derivative."""
    if channels_first:
        pixels = values.shape[2]
        weights = values.new_full((pixels,), 1 / pixels)
        return (values @ weights).mean(0)
    channels = values.shape[-1]
    rows = values.reshape(-1, channels)
    wide = _wide(rows.contiguous())
    count = len(wide)
    weights = wide.new_full((count,), 1 / count)
    sums = weights @ wide
    if len(sums) == channels:
        return sums
    groups = sums.view(-1, channels)
    return groups.mean(0)


def as_rows(values: Tensor) -> Tensor:
    """Values [N, C, …] as [M, C], without a copy where channels come last."""
    channels = values.shape[1]
    moved = values.movedim(1, -1)
    rows = moved.reshape(-1, channels)
    return rows.contiguous()


def as_channels(like: Tensor, rows: Tensor) -> Tensor:
    """Rows [M, C] in the shape [N, C, …] of `like`."""
    shape = like.movedim(1, -1).shape
    values = rows.view(shape)
    return values.movedim(-1, 1)


def empty_like(like: Tensor) -> Tensor:
    """Memory for values [N, C, …] with channels last that is no view: a network may change its
    outputs in place, as ReLU(inplace=True) does, which autograd forbids for a function's views."""
    shape = like.movedim(1, -1).shape
    axes = range(len(shape))
    of_examples, *of_pixels, of_channels = [prod(shape[axis + 1 :]) for axis in axes]
    strides = (of_examples, of_channels, *of_pixels)
    return torch.empty_strided(like.shape, strides, dtype=like.dtype)


def _wide(rows: Tensor) -> Tensor:
    """Rows [k·R, C] as [R, k·C]: a view, in which a column belongs to one channel."""
    count, channels = rows.shape
    groups = groups_of(count, channels)
    return rows.view(-1, groups * channels)


def groups_of(count: int, channels: int) -> int:
    """k: the largest power of 2 that divides the count and makes no more than ROWS groups and
    COLUMNS columns."""
    most = max(1, min(ROWS, COLUMNS // channels))
    power = 1 << most.bit_length() - 1
    return gcd(count, power)


def moments_of_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] of rows [M, C]."""
    if len(rows) <= ROWS:
        return _mean_and_variance(rows)
    count, channels = rows.shape
    blocks = _wide(rows).split(ROWS)
    of_blocks = [_mean_and_variance(block) for block in blocks]
    means = torch.stack([mean for mean, _ in of_blocks])
    variances = torch.stack([variance for _, variance in of_blocks])
    means = means.view(-1, channels)
    variances = variances.view(-1, channels)
    are_alike = len(blocks[-1]) == len(blocks[0])
    if are_alike:
        mean, between = _mean_and_variance(means.double())
        within = variances.mean(0)
        return mean.to(means.dtype), within.add_(between)
    groups = blocks[0].shape[1] // channels
    fractions: list[float] = []
    for block in blocks:
        fraction = len(block) / count
        fractions += [fraction] * groups
    return joined(means, variances, fractions)


def _mean_and_variance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """By torch's kernel: one value after the other, but for vectors of channels at once."""
    mean, variance = torch.batch_norm_update_stats(rows, None, None, 0.0)
    return mean, variance


def joined(means: Tensor, variances: Tensor, fractions: list[float]) -> tuple[Tensor, Tensor]:
    """Mean and variance [C] of the union of groups with these [G, C], each a fraction of the whole;
    in float64, then rounded."""
    weights = means.new_tensor(fractions, dtype=torch.float64)
    mean = weights @ means.double()
    between = (means - mean).square()
    variance = weights @ (variances + between)
    return mean.to(means.dtype), variance.to(means.dtype)


def gradient_sums(g: Tensor, rows: Tensor, mean: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Σ g and Σ g·(x − mean)·s, [C], of g and x [M, C], mean and s [C]: the sums of torch's
    backward pass and nothing else."""
    g = _wide(g)
    x = _wide(rows)
    statistics = torch.stack((mean, s))
    mean_and_s = _spread(statistics, x).unbind()
    most = 4 * ROWS  # an error of 1e-6 is little in a derivative
    g_blocks = g.split(most)
    x_blocks = x.split(most)
    sums: list[Tensor] = []
    for pair in zip(g_blocks, x_blocks, strict=True):
        _, product, total = torch.ops.aten.native_batch_norm_backward(
            *pair, None, None, None, *mean_and_s, True, 0.0, [False, True, True]
        )
        sums += total, product
    blocks = len(g_blocks)
    channels = len(mean)
    stacked = torch.stack(sums)
    by_block = stacked.view(blocks, 2, -1, channels)
    total, product = by_block.sum((0, 2)).unbind()
    return total, product


def combined(constant: Tensor, *terms: tuple[Tensor, Tensor], out: Tensor | None = None) -> Tensor:
    """constant + Σ factor·x [M, C], of pairs of factor [C] and x [M, C]; written to `out` [M, C] if
    given."""
    (factor, rows), *others = terms
    x = rows
    if rows.shape[1] < VECTOR:
        x = _wide(rows)
    place = None
    if out is not None:
        place = out.view(x.shape)
    constants = _spread(constant, x)
    factors = _spread(factor, x)
    total = torch.addcmul(constants, x, factors, out=place)
    for factor, other in others:
        factors = _spread(factor, x)
        total.addcmul_(other.view(x.shape), factors)
    return total.view(rows.shape)


def _spread(values: Tensor, wide: Tensor) -> Tensor:
    """Values [..., C] of each channel for each column of [R, k·C]."""
    *lead, channels = values.shape
    groups = wide.shape[1] // channels
    if groups == 1:
        return values
    repeated = values.unsqueeze(-2).expand(*lead, groups, -1)
    return repeated.contiguous().view(*lead, -1)  # a third of the time of repeat
