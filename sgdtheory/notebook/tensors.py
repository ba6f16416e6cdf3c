"""Tensors as they come from Python: arrays, lists, and tensors of any device."""

import torch
from torch import Tensor

from sgdtheory.errors import UserError, in_a_line


def tensor_of(part: object, name: str) -> Tensor:
    """A tensor [...] of numbers, on the CPU."""
    try:
        tensor = torch.as_tensor(part)
    except (TypeError, ValueError, RuntimeError) as fault:
        raise UserError(f"{name}: {in_a_line(fault, 160)}; give tensors or arrays") from None
    if tensor.layout != torch.strided:
        raise UserError(f"{name}: a tensor is {tensor.layout}; give it as a dense one (to_dense)")
    return tensor.detach().cpu()
