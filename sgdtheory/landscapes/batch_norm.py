"""Batch norm as the landscape needs it: no buffers while descending, exact population statistics while scoring.

Interpolating, decaying or averaging the buffers of two networks gives statistics that belong to neither: 2.6 nats in the
middle of a path that has 0.004 with recomputed ones. So they are no coordinates, and are recomputed wherever a point is scored.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sgdtheory.run import stop_if_asked

EXACT_IMAGES = 10_000  # up to here the whole training set is one batch; beyond, statistics are averages over batches


def has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(m, _BatchNorm) for m in module.modules())


def batch_statistics_only(module: nn.Module) -> nn.Module:
    """The module in training mode, its batch norms without running statistics, its dropout off."""
    module.eval()
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.train()
            part.track_running_stats = False
            part.running_mean = part.running_var = part.num_batches_tracked = None
    return module


@contextmanager
def by_products(module: nn.Module) -> Iterator[None]:
    """In this block batch norms in training mode compute what they do by products with a row of ones: the second backward pass
    then takes a fifth of the time of torch's own, which is half of a ResNet's Hessian-vector product; the first takes longer.
    """
    norms = [part for part in module.modules() if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)]
    for part in norms:  # not those that somebody wrote anew
        part.forward = partial(_normalised, part)  # type: ignore[method-assign,arg-type]
    try:
        yield
    finally:
        for part in norms:
            del part.forward


def _normalised(norm: _BatchNorm, inputs: Tensor) -> Tensor:
    """(x − mean)/√(variance + eps) · weight + bias for each channel of inputs [N, C, …], over all other axes."""
    channels = inputs.movedim(1, -1)
    values = channels.reshape(-1, inputs.shape[1])  # no copy where channels come last
    mean = values.new_full((len(values),), 1 / len(values))
    centred = values - mean @ values
    scale = (mean @ centred.square() + norm.eps).rsqrt()
    found = centred * scale if norm.weight is None else centred * (scale * norm.weight) + norm.bias
    return found.view(channels.shape).movedim(-1, 1)


class Population(NamedTuple):
    """What a pass over all images finds."""

    buffers: dict[str, Tensor]  # mean and (biased) variance of every batch norm's input, by name
    outputs: Any  # of the network with these buffers, where one pass saw all images: it normalised by them; else None


def population_statistics(module: nn.Module, forward: Callable[[Tensor], Any], images: Tensor, like: Tensor) -> Population:
    """Mean and variance of every batch norm's input over all images [N, …], of `like`'s dtype.

    Exact up to EXACT_IMAGES images, by one pass over the whole set. Beyond, the images go through in equal batches: means
    are averaged, variances are the mean of those within and the variance of those between the batches; what is not exact is
    that deeper layers see inputs normalised by their own batch, a relative error of about 1/√(values in a batch).
    """
    norms = {name: part for name, part in module.named_modules() if isinstance(part, _BatchNorm)}
    moments: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in norms}
    chunks = images.chunk(-(-len(images) // EXACT_IMAGES))
    for chunk in chunks:
        stop_if_asked()
        with _recording(norms, like) as counts:
            outputs = forward(chunk)
            for name, part in norms.items():
                if name in counts:  # it was used; torch keeps the unbiased variance
                    bias = (counts[name] - 1) / counts[name]
                    assert part.running_mean is not None and part.running_var is not None
                    moments[name].append((part.running_mean, part.running_var * bias))
    buffers = {}
    for name, pairs in moments.items():
        if pairs:
            means, variances = (torch.stack(x) for x in zip(*pairs, strict=True))
            prefix = f"{name}." if name else ""
            buffers[f"{prefix}running_mean"] = means.mean(0)
            buffers[f"{prefix}running_var"] = variances.mean(0) + means.var(0, correction=0)
    return Population(buffers, outputs if len(chunks) == 1 else None)


@contextmanager
def _recording(norms: dict[str, _BatchNorm], like: Tensor) -> Iterator[dict[str, int]]:
    """In this block batch norms keep the statistics of their last input, which they compute anyhow: a hook of our own would
    compute them a second time, at ten times the cost where channels come last. Yields how many values each has seen."""
    counts: dict[str, int] = {}

    def count(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: counts.__setitem__(name, inputs[0].numel() // inputs[0].shape[1])

    hooks = [part.register_forward_pre_hook(count(name)) for name, part in norms.items()]
    momenta = {name: part.momentum for name, part in norms.items()}
    for part in norms.values():
        part.track_running_stats, part.momentum = True, 1.0
        part.running_mean, part.running_var = like.new_zeros(part.num_features), like.new_ones(part.num_features)
    try:
        yield counts
    finally:
        for name, part in norms.items():
            part.track_running_stats, part.momentum = False, momenta[name]
            part.running_mean = part.running_var = None
        for hook in hooks:
            hook.remove()


def with_population_statistics(module: nn.Module, weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> nn.Module:
    """A module in evaluation mode that holds these weights and buffers."""
    module.load_state_dict({**module.state_dict(), **weights, **buffers})
    return module.eval()
