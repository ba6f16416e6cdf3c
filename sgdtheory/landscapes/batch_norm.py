"""Batch norm as the landscape needs it: no buffers while descending, exact population statistics
while scoring.

Interpolating, decaying or averaging the buffers of two networks gives statistics that belong to
neither: 2.6 nats in the middle of a path that has 0.004 with recomputed ones. So they are no
coordinates, and are recomputed wherever a point is scored.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

from sgdtheory.errors import UserError
from sgdtheory.landscapes.channel_sums import averages, joined, suits_torch, sums_of_few
from sgdtheory.landscapes.normalised import moments, normalised
from sgdtheory.protocol import TensorsByName
from sgdtheory.runs.interrupt import stop_if_asked

# up to here the whole training set is one batch; beyond, statistics are averages over batches
EXACT_IMAGES = 10_000
FORWARDS = (_BatchNorm.forward, SyncBatchNorm.forward)  # torch's own, which are computed anew here


def has_batch_norm(module: nn.Module) -> bool:
    return bool(batch_norms_of(module))


def batch_norms_of(module: nn.Module) -> dict[str, _BatchNorm]:
    """Batch norms by name."""
    return {name: part for name, part in module.named_modules() if isinstance(part, _BatchNorm)}


def has_foreign_batch_norm(module: nn.Module) -> bool:
    """Whether a batch norm's forward pass is its author's own: in float32 on a CPU it is right
    where channels come first."""
    norms = batch_norms_of(module).values()
    return not all(_is_torchs(norm) for norm in norms)


def _is_torchs(norm: _BatchNorm) -> bool:
    return type(norm).forward in FORWARDS


def batch_statistics_only(module: nn.Module) -> nn.Module:
    """The module in evaluation mode, only that its batch norms normalise by each batch's own
    statistics and have no others."""
    module.eval()
    for norm in batch_norms_of(module).values():
        norm.track_running_stats = False
        norm.running_mean = None
        norm.running_var = None
        norm.num_batches_tracked = None
        if _is_torchs(norm):
            vars(norm)["forward"] = partial(_by_batch, norm)  # its own, before its class's
        else:
            norm.training = True  # of itself alone: it may hold a dropout
    return module


def _by_batch(norm: _BatchNorm, inputs: Tensor) -> Tensor:
    if _is_ours(norm, inputs):
        return normalised(inputs, norm.weight, norm.bias, norm.eps)
    return F.batch_norm(inputs, None, None, norm.weight, norm.bias, True, 0.0, norm.eps)


def _is_ours(norm: _BatchNorm, inputs: Tensor) -> bool:
    """Whether torch's own kernel is inexact: in float32 on a CPU, where it is not compiled, on many
    values, channels last."""
    norm._check_input_dim(inputs)
    if inputs.numel() == inputs.shape[1]:
        raise UserError(
            f"model: a batch norm of {norm.num_features} channels sees one value of each; "
            f"take more than 1 example"
        )
    if not inputs.is_cpu or inputs.dtype != torch.float32:
        return False
    return not torch.compiler.is_compiling() and not suits_torch(inputs)


@contextmanager
def by_products(module: nn.Module) -> Iterator[None]:
    """In this block torch's batch norms have a second backward pass that is made of few sums and
    products: it takes a fifth of the time of torch's own, which is half of a ResNet's
    Hessian-vector product."""
    forwards: dict[_BatchNorm, Callable[..., Tensor]] = {}
    for norm in batch_norms_of(module).values():
        if _is_torchs(norm):
            forwards[norm] = partial(_normalised, norm)
    with _forwards(forwards):
        yield


@contextmanager
def _forwards(forwards: dict[_BatchNorm, Callable[..., Tensor]]) -> Iterator[None]:
    """In this block these norms have these forward passes; what stood on the instances before comes
    back."""
    before = {part: part.__dict__.get("forward") for part in forwards}
    for part, forward in forwards.items():
        part.__dict__["forward"] = forward
    try:
        yield
    finally:
        for part, forward_before in before.items():
            del part.__dict__["forward"]
            if forward_before is not None:
                part.__dict__["forward"] = forward_before


def _normalised(norm: _BatchNorm, inputs: Tensor) -> Tensor:
    """(x − mean)/√(variance + eps) · weight + bias for each channel of inputs [N, C, …], over all
    other axes."""
    norm._check_input_dim(inputs)
    if inputs.is_cpu and not sums_of_few(inputs):
        return normalised(inputs, norm.weight, norm.bias, norm.eps)
    # channels, or last: outputs are laid out like inputs
    first = inputs.dim() > 2 and inputs.is_contiguous()
    values = inputs.flatten(2) if first else inputs.movedim(1, -1)

    def of_values(channels: Tensor) -> Tensor:
        """Numbers of the channels [C] beside the values."""
        if first:
            return channels[:, None]
        return channels

    mean = averages(values, first)
    centred = values - of_values(mean)
    variance = averages(centred.square(), first)
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is None:
        outputs = centred * of_values(scale)
    else:
        scale = scale * norm.weight
        outputs = centred * of_values(scale) + of_values(norm.bias)
    if first:
        return outputs.view(inputs.shape)
    return outputs.movedim(-1, 1)


class Population(NamedTuple):
    """What a pass over all images finds."""

    buffers: TensorsByName  # mean and (biased) variance of every batch norm's input, by name
    # of the network with these buffers, where one pass saw all images: it normalised by them; else
    # None
    outputs: Tensor | None


class _Moments(NamedTuple):
    mean: Tensor  # [C]
    variance: Tensor  # [C], biased
    values: int  # a channel


def population_statistics(
    module: nn.Module, forward: Callable[[Tensor], Tensor], images: Tensor, like: Tensor
) -> Population:
    """Mean and variance of every batch norm's input over all images [N, …], of `like`'s dtype;
    without those not used.

    Exact up to EXACT_IMAGES images, by one pass over the whole set. Beyond, the images go through
    in equal batches, and mean and variance are those of all their values together; what is not
    exact is that deeper layers see inputs normalised by their own batch, a relative error of about
    1/√(values in a batch). Raises UserError where a norm is used twice in a pass.
    """
    norms = batch_norms_of(module)
    parts: dict[str, list[_Moments]] = {name: [] for name in norms}
    chunks = images.chunk(ceil(len(images) / EXACT_IMAGES))
    for chunk in chunks:
        stop_if_asked()
        with _recording(norms, like) as seen:
            outputs = forward(chunk)
        for name, moments_of_chunk in seen.items():
            parts[name].append(moments_of_chunk)
    buffers = {}
    for name, of_norm in parts.items():
        if of_norm:
            mean, variance = _together(of_norm)
            buffers[statistic_of(name, "running_mean")] = mean
            buffers[statistic_of(name, "running_var")] = variance
    if len(chunks) == 1:
        return Population(buffers, outputs)
    return Population(buffers, None)


def statistic_of(norm: str, statistic: str) -> str:
    """The name of a buffer of the batch norm of this name, which is empty for the module itself."""
    return f"{norm}.{statistic}".lstrip(".")


def _together(parts: list[_Moments]) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] of the values of all parts."""
    means = torch.stack([part.mean for part in parts])
    variances = torch.stack([part.variance for part in parts])
    total = sum(part.values for part in parts)
    fractions = [part.values / total for part in parts]
    return joined(means, variances, fractions)


@contextmanager
def _recording(norms: dict[str, _BatchNorm], like: Tensor) -> Iterator[dict[str, _Moments]]:
    """In this block batch norms tell the statistics of their input, which they compute anyhow: a
    hook of our own would compute them a second time. Yields them by name."""
    seen: dict[str, _Moments] = {}

    def recorded(name: str, norm: _BatchNorm) -> Callable[..., Tensor]:
        forward = norm.forward

        def recording(inputs: Tensor, *rest: object, **named: object) -> Tensor:
            if name in seen:
                raise UserError(
                    f"model: the batch norm {name or type(norm).__name__!r} is used twice in "
                    f"one forward pass, and no one set"
                    " of statistics stands for both; use two"
                )
            channels = inputs.shape[1]
            count = inputs.numel() // channels
            if _is_torchs(norm) and _is_ours(norm, inputs):
                mean, variance = moments(inputs)
                outputs = F.batch_norm(
                    inputs, mean, variance, norm.weight, norm.bias, False, 0.0, norm.eps
                )
            else:
                mean = like.new_zeros(norm.num_features)
                variance = like.new_ones(norm.num_features)
                if _is_torchs(norm):
                    outputs = F.batch_norm(
                        inputs, mean, variance, norm.weight, norm.bias, True, 1.0, norm.eps
                    )
                else:
                    with _tracking(norm, mean, variance):
                        outputs = forward(inputs, *rest, **named)
                biased = (count - 1) / count  # torch keeps the unbiased one
                variance = variance * biased
            seen[name] = _Moments(mean, variance, count)
            return outputs

        return recording

    forwards = {norm: recorded(name, norm) for name, norm in norms.items()}
    with _forwards(forwards):
        yield seen


@contextmanager
def _tracking(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> Iterator[None]:
    """In this block a norm whose forward pass is its author's own writes the statistics of its
    input into these tensors."""
    momentum = norm.momentum
    norm.track_running_stats = True
    norm.momentum = 1.0
    norm.running_mean = mean
    norm.running_var = variance
    try:
        yield
    finally:
        norm.track_running_stats = False
        norm.momentum = momentum
        norm.running_mean = None
        norm.running_var = None


def with_population_statistics(
    module: nn.Module, weights: TensorsByName, buffers: TensorsByName
) -> nn.Module:
    """A module in evaluation mode that holds these weights [their own shapes] and buffers
    [channels]; its norms without running statistics get some.

    Raises RuntimeError for a name or a shape that the module does not have.

    """
    for name, norm in batch_norms_of(module).items():
        mean = buffers.get(statistic_of(name, "running_mean"))
        if norm.running_mean is None and mean is not None:
            norm.track_running_stats = True
            norm.running_mean = torch.zeros_like(mean)
            norm.running_var = torch.ones_like(mean)
            norm.num_batches_tracked = torch.zeros((), dtype=torch.long, device=mean.device)
    keys = module.load_state_dict({**weights, **buffers}, strict=False)
    unknown = keys.unexpected_keys
    if unknown:
        kind = type(module).__name__
        names = ", ".join(unknown)
        raise RuntimeError(f"{kind} has no {names}")
    return module.eval()
