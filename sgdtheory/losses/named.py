"""Losses by their names."""

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

from torch import Tensor

from sgdtheory.annotations import ByName
from sgdtheory.errors import UserError, nearest
from sgdtheory.losses.binary import Binary
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.losses.custom import Custom
from sgdtheory.losses.huber import Huber
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.mse import MSE

LossName: TypeAlias = Literal["cross_entropy", "mse", "huber", "binary", "custom"]
ChosenLoss: TypeAlias = Annotated[Loss | LossName, ByName("loss")]
NAMED: dict[str, Callable[[], Loss]] = {
    "cross_entropy": CrossEntropy,
    "mse": MSE,
    "huber": Huber,
    "binary": Binary,
}


def loss_named(loss: Loss | LossName, factory: Callable[..., Tensor] | None) -> Loss:
    """The loss itself, the one of this name, or the function from outside that `custom` is, from
    outputs and targets to the losses of examples [b]."""
    if loss == "custom":
        if factory is None:
            raise UserError("landscape.loss=custom: give landscape.loss_factory=package.module:f")
        return Custom(factory)
    if factory is not None:
        raise UserError("landscape.loss_factory= is what landscape.loss=custom computes; say so")
    if isinstance(loss, str):
        if loss not in NAMED:
            raise UserError(f"loss={loss!r} is not known{nearest(loss, list(NAMED))}")
        return NAMED[loss]()
    return loss
