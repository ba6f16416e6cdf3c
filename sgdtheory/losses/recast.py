"""A loss of one's own whose tensors, such as weights of classes, have the dtype of the outputs."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

LossFunction = Callable[[Tensor, Tensor], Tensor]  # of outputs and targets [b, …] the losses [b]


def recast(function: LossFunction, dtype: torch.dtype) -> LossFunction:
    """A module or a partial function with its floating-point tensors in a dtype, a copy where they
    have another; any other function as it is, for nobody can look into it."""
    if isinstance(function, nn.Module):
        tensors = [*function.parameters(), *function.buffers()]
        floating = [tensor for tensor in tensors if tensor.is_floating_point()]
        if all(tensor.dtype == dtype for tensor in floating):
            return function
        return deepcopy(function).to(dtype)
    if isinstance(function, partial):
        given = [_recast_tensor(value, dtype) for value in function.args]
        named = {}
        for name, value in function.keywords.items():
            named[name] = _recast_tensor(value, dtype)
        return partial(recast(function.func, dtype), *given, **named)
    return function


def _recast_tensor(value: Any, dtype: torch.dtype) -> Any:
    is_floating = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if is_floating else value
