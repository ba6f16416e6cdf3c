"""How images lie in memory: channels last where a network takes them so, for that is faster."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from sgdtheory.landscapes.batch_norm import has_foreign_batch_norm
from sgdtheory.landscapes.module_function import ModuleFunction
from sgdtheory.landscapes.written import as_written

Layout: TypeAlias = Callable[[Tensor], Tensor]  # inputs [b, …] → the same numbers, laid out


def contiguous(inputs: Tensor) -> Tensor:
    """Inputs [b, …] in their own order."""
    return inputs.contiguous()


def channels_last(inputs: Tensor) -> Tensor:
    """Images [b, C, H, W] in the order b, H, W, C. One channel is in both orders at once, and torch
    takes the strides' word for which is meant."""
    if inputs.shape[1] == 1:
        _, _, height, width = inputs.shape
        strides = (height * width, 1, width, 1)
        return inputs.contiguous().as_strided(inputs.shape, strides)
    return inputs.contiguous(memory_format=torch.channels_last)


def layout_of(function: ModuleFunction, example: Tensor) -> Layout:
    """Channels last for networks with convolutions, unless their author's code needs the other
    order, as `x.view(len(x), -1)` behind a convolution does, or a batch norm of their own, as
    torch's kernel is right in float32 on contiguous inputs alone. `example`: inputs [2, …]."""
    module = function.module
    convolves = any(isinstance(part, nn.Conv2d) for part in module.modules())
    if not convolves or example.ndim != 4 or has_foreign_batch_norm(module):
        return contiguous
    example = example.to(function.device)
    theta = function.vector(function.plain).float()
    weights = function.weights(theta.to(function.device))
    try:
        with torch.no_grad(), as_written(torch.float32):
            function.on_batch(weights, channels_last(example))
    except RuntimeError:  # "view size is not compatible with input tensor's size and stride"
        return contiguous
    return channels_last
