"""A batch normalised by its own statistics on a CPU: right in float32, and twice differentiable.

torch's kernel adds the values of a channel one after the other where channels come last: in float32
the variance of 10,000 images' activations is 2 % off, and the sums of the backward pass likewise.
Here the same kernel gets [R, k·C] for [k·R, C], a view: it adds R values in each of k·C columns,
and the k groups of a channel are joined by Chan's formula (Chan, Golub & LeVeque 1983, Eq. 2.1).
"""

from inspect import signature
from math import gcd, prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# values that may be added one after the other: an error of a few 1e-7 where nothing is joined
ROWS = 256
VECTOR = 16  # float32 values that a core handles at once: with fewer channels rows are made wide
# Values of a channel up to which a first derivative's sums may be torch's: their errors are at
# most 3e-5 of the sum of sizes, of a gradient of ResNet-20 5e-6, and they are had in one pass less.
MINI_BATCH = 1 << 17
SMALL = 1 << 17  # values for which an operation's own cost is more than that of the numbers
COLUMNS = 2048  # the sums of so many columns stay in a core's nearest memory


def normalised(inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """(x − mean)/√(variance + eps) · weight + bias of inputs [N, C, …], mean and biased variance
    over all axes but C."""
    weight = inputs.new_ones(inputs.shape[1]) if weight is None else weight
    bias = inputs.new_zeros(inputs.shape[1]) if bias is None else bias
    found: Tensor = _Normalised.apply(inputs, weight, bias, eps)[0]
    return found


def moments(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] of inputs [N, C, …] over all other axes."""
    if suits_torch(inputs):
        return torch.batch_norm_update_stats(inputs.contiguous(), None, None, 0.0)
    return _moments(_rows(inputs))


class _Normalised(torch.autograd.Function):
    """Outputs, and what the backward pass needs of the statistics: mean and 1/√(variance + eps)."""

    @staticmethod
    def forward(
        inputs: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        if suits_torch(inputs):
            outputs, mean, inverse = torch.native_batch_norm(
                inputs.contiguous(), weight, bias, None, None, True, 0.0, eps
            )
            return outputs, mean, inverse  # type: ignore[no-any-return]
        rows = _rows(inputs)
        mean, variance = _moments(rows)
        inverse = variance.add_(eps).rsqrt_()
        scale = weight * inverse
        outputs = _empty(inputs)
        _combined(torch.addcmul(bias, mean, scale, value=-1), (scale, rows), out=_rows(outputs))
        return outputs, mean, inverse

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs[:2], *output[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given = gradients[0], *ctx.saved_tensors
        x = ctx.saved_tensors[0]
        if torch.is_grad_enabled():
            found: tuple[Tensor, Tensor, Tensor] = _Gradients.apply(*given)
        elif x.numel() <= MINI_BATCH * x.shape[1]:
            found = _gradients_by_torch(*given)
        else:
            found = _gradients(*given)
        return *found, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """P batches are one with P·C channels."""
        points = info.batch_size
        x, w, b = (
            tensor.expand(points, *tensor.shape) if at is None else tensor.movedim(at, 0)
            for tensor, at in zip((inputs, weight, bias), in_dims, strict=False)
        )
        found = _Normalised.apply(
            x.movedim(0, 1).flatten(1, 2), *(each.contiguous().flatten() for each in (w, b)), eps
        )
        axes = 1, 0, 0
        return tuple(
            each.unflatten(axis, (points, -1)) for each, axis in zip(found, axes, strict=True)
        ), axes


class _Gradients(torch.autograd.Function):
    """The backward pass: with x̂ = (x − mean)·s, s = 1/√(variance + eps), and averages ⟨·⟩ over the
    M values of a channel

    ∂x = w s P(g), P(g) = g − ⟨g⟩ − x̂⟨g x̂⟩, ∂w = Σ g x̂, ∂b = Σ g.

    """

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, s: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        gradients = _gradients(g, x, weight, mean, s)
        ctx.save_for_backward(g, x, weight, mean, s, *gradients[1:])
        return gradients

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        """Of L = ⟨u, ∂x⟩ + a·∂w + b·∂b: with A, B = ⟨g⟩, ⟨g x̂⟩; U, V, D = ⟨u⟩, ⟨u x̂⟩, ⟨u g⟩ and E
        = D − UA − VB

        ∂L/∂g = w s P(u) + a x̂ + b, ∂L/∂w = s M E, ∂L/∂x = −w s² P(Bu + Vg) − w s² E x̂ + a s P(g)
        (for δs = −s²⟨x̂ δx⟩, δx̂ = s P(δx), and P is symmetric).
        """
        g, x, w, mean, s, product, total = ctx.saved_tensors
        a, b = cotangents[1:]
        rows, g_rows, u_rows = _rows(x), _rows(g), _rows(cotangents[0])
        count = len(rows)
        U, V = (each / count for each in _sums(u_rows, rows, mean, s))
        D = _sums(u_rows, g_rows, torch.zeros_like(mean), torch.ones_like(mean))[1] / count
        A, B = total / count, product / count
        E = D - U * A - V * B

        scale = w * s
        of_x = (a - scale * V) * s
        for_g = _combined(b - scale * U - of_x * mean, (of_x, rows), (scale, u_rows))

        curve, slope = scale * s, a * s
        of_x = (curve * (2 * B * V - E) - slope * B) * s
        constant = curve * (B * U + V * A) - slope * A - of_x * mean
        for_x = _combined(constant, (of_x, rows), (-curve * B, u_rows), (slope - curve * V, g_rows))
        return _as(g, for_g), _as(x, for_x), count * s * E, None, None


_Normalised.forward.__signature__ = signature(_Normalised.forward)  # type: ignore[attr-defined] # torch asks at each call


def _gradients(
    g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, s: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """∂x, ∂w and ∂b of `_Gradients`."""
    if suits_torch(x):
        return _gradients_by_torch(g, x, weight, mean, s)
    rows, g_rows = _rows(x), _rows(g)
    total, product = _sums(g_rows, rows, mean, s)
    scale = weight * s
    average = scale / -len(rows)
    of_x = average * s * product
    constant = torch.addcmul(average * total, of_x, mean, value=-1)
    return _as(x, _combined(constant, (of_x, rows), (scale, g_rows))), product, total


def _gradients_by_torch(
    g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, s: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same by torch's kernel: one pass less, and where channels come last sums of one value
    after the other."""
    by_rows = not suits_torch(x)
    pair = (_rows(g), _rows(x)) if by_rows else (g.contiguous(), x.contiguous())
    found = torch.ops.aten.native_batch_norm_backward(
        *pair, weight, None, None, mean, s, True, 0.0, [True, True, True]
    )
    return _as(x, found[0]) if by_rows else found[0], found[1], found[2]


def suits_torch(inputs: Tensor) -> bool:
    """Whether torch's kernel is right: few values, or the channels are not the last axis, where it
    adds in float64."""
    if few_values(inputs):
        return True
    if inputs.dim() == 3 and not inputs.is_contiguous():
        # sequences: torch knows no layout of theirs with channels last, and makes them contiguous
        return True
    return (
        not inputs.movedim(1, -1).is_contiguous()
        and inputs.numel() != inputs.shape[0] * inputs.shape[1]
    )


def few_values(inputs: Tensor) -> bool:
    """Whether there are so few of a channel that they may be added one after the other."""
    return inputs.numel() <= ROWS * inputs.shape[1]


def sums_of_few(inputs: Tensor) -> bool:
    """Whether `averages` of inputs [N, C, …] adds few values one after the other, and these are few
    in all: for more of them `normalised` has the faster second derivative, for fewer plain
    products."""
    channels = inputs.shape[1]
    count = inputs.numel() // channels
    return inputs.numel() <= SMALL and count <= ROWS * _groups(count, channels)


def averages(values: Tensor, channels_first: bool = False) -> Tensor:
    """The average [C] of values [N, C, T] or [N, …, C], by products with ones: no other sum has as
    fast a second derivative."""
    if channels_first:
        return (values @ values.new_full((values.shape[2],), 1 / values.shape[2])).mean(0)
    wide = _wide(values.reshape(-1, values.shape[-1]).contiguous())
    sums = wide.new_full((len(wide),), 1 / len(wide)) @ wide
    return sums if len(sums) == values.shape[-1] else sums.view(-1, values.shape[-1]).mean(0)


def _rows(values: Tensor) -> Tensor:
    """Values [N, C, …] as [M, C], without a copy where channels come last."""
    return values.movedim(1, -1).reshape(-1, values.shape[1]).contiguous()


def _as(like: Tensor, rows: Tensor) -> Tensor:
    """Rows [M, C] in the shape [N, C, …] of `like`."""
    return rows.view(like.movedim(1, -1).shape).movedim(-1, 1)


def _empty(like: Tensor) -> Tensor:
    """Memory for values [N, C, …] with channels last that is no view: a network may change its
    outputs in place, as ReLU(inplace=True) does, which autograd forbids for a function's views."""
    moved = like.movedim(1, -1)
    strides = [prod(moved.shape[axis + 1 :]) for axis in range(moved.ndim)]
    return torch.empty_strided(like.shape, (strides[0], 1, *strides[1:-1]), dtype=like.dtype)


def _wide(rows: Tensor) -> Tensor:
    """Rows [k·R, C] as [R, k·C]: a view, in which a column belongs to one channel."""
    count, channels = rows.shape
    return rows.view(-1, _groups(count, channels) * channels)


def _groups(count: int, channels: int) -> int:
    """k: the largest power of 2 that divides the count and makes no more than ROWS groups and
    COLUMNS columns."""
    most = max(1, min(ROWS, COLUMNS // channels))
    return gcd(count, 1 << most.bit_length() - 1)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] of rows [M, C]."""
    if len(rows) <= ROWS:
        return _mean_and_variance(rows)
    blocks = _wide(rows).split(ROWS)
    found = [_mean_and_variance(block) for block in blocks]
    gathered = found[0] if len(found) == 1 else map(torch.stack, zip(*found, strict=True))
    means, variances = (each.view(-1, rows.shape[1]) for each in gathered)
    if len(blocks[-1]) < len(blocks[0]):
        groups = blocks[0].shape[1] // rows.shape[1]
        return joined(
            means, variances, [len(block) / len(rows) for block in blocks for _ in range(groups)]
        )
    mean, between = _mean_and_variance(means.double())  # all groups are alike
    return mean.to(means.dtype), variances.mean(0).add_(between)


def _mean_and_variance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """By torch's kernel: one value after the other, but for vectors of channels at once."""
    mean, variance = torch.batch_norm_update_stats(rows, None, None, 0.0)
    return mean, variance


def joined(means: Tensor, variances: Tensor, shares: list[float]) -> tuple[Tensor, Tensor]:
    """Mean and variance [C] of the union of groups with these [G, C] and shares of the whole; in
    float64, then rounded."""
    weights = means.new_tensor(shares, dtype=torch.float64)
    mean = weights @ means.double()
    variance = weights @ (variances + (means - mean).square())
    return mean.to(means.dtype), variance.to(means.dtype)


def _sums(g: Tensor, rows: Tensor, mean: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Σ g and Σ g·(x − mean)·s, [C], of g and x [M, C]: the sums of torch's backward pass and
    nothing else."""
    g, x = _wide(g), _wide(rows)
    statistics = _spread(torch.stack((mean, s)), x).unbind()
    # an error of 1e-6 is little in a derivative
    blocks = zip(g.split(4 * ROWS), x.split(4 * ROWS), strict=True)
    found: list[Tensor] = []
    for pair in blocks:
        sums = torch.ops.aten.native_batch_norm_backward(
            *pair, None, None, None, *statistics, True, 0.0, [False, True, True]
        )
        found += sums[2], sums[1]
    total, product = torch.stack(found).view(len(found) // 2, 2, -1, len(mean)).sum((0, 2)).unbind()
    return total, product


def _combined(constant: Tensor, *terms: tuple[Tensor, Tensor], out: Tensor | None = None) -> Tensor:
    """constant + Σ factor·x [M, C], of pairs of factor [C] and x [M, C]; written to `out` [M, C] if
    given."""
    (factor, rows), *others = terms
    shape, x = rows.shape, rows
    if shape[1] < VECTOR:
        x = _wide(rows)
    place = None if out is None else out.view(x.shape)
    found = torch.addcmul(_spread(constant, x), x, _spread(factor, x), out=place)
    for factor, other in others:
        found.addcmul_(other.view(x.shape), _spread(factor, x))
    return found.view(shape)


def _spread(values: Tensor, wide: Tensor) -> Tensor:
    """Values [..., C] of each channel for each column of [R, k·C]."""
    groups = wide.shape[1] // values.shape[-1]
    if groups == 1:
        return values
    each = values.unsqueeze(-2).expand(*values.shape[:-1], groups, -1)
    return each.contiguous().view(*values.shape[:-1], -1)  # a third of the time of repeat
