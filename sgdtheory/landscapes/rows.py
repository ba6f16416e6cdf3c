"""How the points of a cloud are evaluated: by batched products, by vmap, or one after the other."""

from collections.abc import Callable, Iterable
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn

from sgdtheory.errors import UserError
from sgdtheory.protocol import Cloud, TensorsByName, by_autograd

Rows: TypeAlias = Literal["batched", "vmap", "loop"]
# a loop is faster for these, vmap for the rest: the table that `make bench` found
LOOPED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase, nn.RNNCellBase)


@runtime_checkable
class Batched(Protocol):
    """A model that evaluates many sets of weights by batched products."""

    def forward_rows(self, weights: TensorsByName, inputs: Tensor) -> Tensor:
        """Outputs [P, b, K] of inputs [P or 1, b, …] at weights [P, their own shapes]."""
        ...


def rows_for(module: nn.Module, asked: Rows | Literal["auto"], has_constants: bool) -> Rows:
    """The way that was asked for, or for auto the fastest; UserError where the module does not have
    it."""
    rows = _fastest(module) if asked == "auto" else asked
    if rows == "batched" and not isinstance(module, Batched):
        raise UserError(
            f"landscape.rows=batched: {type(module).__name__} has no forward_rows; "
            f"use vmap, loop or auto"
        )
    # `forward_rows` is given all of a model's parameters
    if rows == "batched" and has_constants:
        return "vmap"
    return rows


def _fastest(module: nn.Module) -> Rows:
    if isinstance(module, Batched):
        return "batched"
    is_looped = any(isinstance(part, LOOPED) for part in module.modules())
    if is_looped:
        return "loop"
    return "vmap"


def vectorises(losses: Iterable[Callable[[Cloud], Tensor]], cloud: Cloud) -> bool:
    """Whether vmap can follow a module at the points of a cloud [P, n]: not where values decide, or
    buffers are written."""
    try:
        for of_cloud in losses:
            by_autograd(of_cloud, cloud)
    except Exception:  # of whatever kind: it is a stranger's code
        return False
    return True
