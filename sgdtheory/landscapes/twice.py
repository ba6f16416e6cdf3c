"""Second derivatives where torch's fast implementations have none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6)/6."""
    return F.relu6(input + 3) / 6


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """g·v/|v|, norms over all axes but one; over all where `dim` is −1. The second derivative of
    torch's own is wrong (2.14, float64: by a fifth of a product)."""
    axes = [axis for axis in range(v.ndim) if axis != dim]
    norms: Tensor = torch.linalg.vector_norm(v, dim=axes, keepdim=True)
    return g * v / norms


TWINS: dict[Any, Callable[..., Tensor]] = {
    F.hardsigmoid: _hardsigmoid,
    torch._weight_norm: _weight_norm,
}


class _Twins(TorchFunctionMode):
    """In this mode functions that torch can differentiate only once are replaced by equal ones."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return TWINS.get(func, func)(*args, **(kwargs or {}))


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """In this block attention is a softmax of products, recurrent layers are torch's own, and
    `TWINS` stand for their functions: each has a second derivative, and the same values."""
    with sdpa_kernel([SDPBackend.MATH]), torch.backends.cudnn.flags(enabled=False), _Twins():
        yield
