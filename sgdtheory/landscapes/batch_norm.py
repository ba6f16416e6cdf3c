"""Batch norm as the landscape needs it: no buffers while descending, exact population statistics while scoring.

Interpolating, decaying or averaging the buffers of two networks gives statistics that belong to neither: 2.6 nats in the
middle of a path that has 0.004 with recomputed ones. So they are no coordinates, and are recomputed wherever a point is scored.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

EXACT_IMAGES = 10_000  # up to here the whole training set is one batch; beyond, statistics are averages over batches


def has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(m, _BatchNorm) for m in module.modules())


def batch_statistics_only(module: nn.Module) -> nn.Module:
    """The module in training mode, its batch norms without running statistics, its dropout off."""
    module.train()
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.track_running_stats = False
            part.running_mean = part.running_var = part.num_batches_tracked = None
        elif isinstance(part, nn.modules.dropout._DropoutNd):
            part.eval()
    return module


def population_statistics(module: nn.Module, forward: Callable[[Tensor], Any], images: Tensor) -> dict[str, Tensor]:
    """Mean and (biased) variance of every batch norm's input over all images [N, …], as buffers by name.

    Exact up to EXACT_IMAGES images, by one pass over the whole set. Beyond, the images go through in equal batches: means
    are averaged, variances are the mean of those within and the variance of those between the batches; what is not exact is
    that deeper layers see inputs normalised by their own batch, a relative error of about 1/√EXACT_IMAGES.
    """
    moments: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            others = [axis for axis in range(inputs[0].ndim) if axis != 1]  # all but the channels
            variance, mean = torch.var_mean(inputs[0], dim=others, correction=0)
            moments.setdefault(name, []).append((mean, variance))

        return hook

    hooks = [
        part.register_forward_pre_hook(record(name)) for name, part in module.named_modules() if isinstance(part, _BatchNorm)
    ]
    try:
        for chunk in images.chunk(-(-len(images) // EXACT_IMAGES)):
            forward(chunk)
    finally:
        for hook in hooks:
            hook.remove()
    buffers = {}
    for name, pairs in moments.items():
        means, variances = (torch.stack(x) for x in zip(*pairs, strict=True))
        prefix = f"{name}." if name else ""
        buffers[f"{prefix}running_mean"] = means.mean(0)
        buffers[f"{prefix}running_var"] = variances.mean(0) + means.var(0, correction=0)
    return buffers


def with_population_statistics(module: nn.Module, weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> nn.Module:
    """A module in evaluation mode that holds these weights and buffers."""
    module.load_state_dict({**module.state_dict(), **weights, **buffers})
    return module.eval()
