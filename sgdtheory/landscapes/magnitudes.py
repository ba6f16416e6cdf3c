"""How large inputs and outputs may be for a loss to be computed and to have a slope."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sgdtheory.errors import UserError

if TYPE_CHECKING:
    from sgdtheory.landscapes.network import Network

FLAT = 100.0  # −log of the smallest float32, 10⁻⁴⁵, is 103: beyond, softmax is 0 or 1 exactly
SCALE = "scale them (a table: data.scaling=standard)"


def refuse_large_inputs(few: "Network", dtype: torch.dtype) -> None:
    """Raise UserError where squares of inputs, which the curvature of a first layer is made of, are
    beyond the largest number of this dtype."""
    some, _ = few.examples("train")
    inputs = few.data.prepared(some, torch.float64)
    if not inputs.is_floating_point():
        return
    largest = float(inputs.abs().max())
    most = torch.finfo(dtype).max ** 0.5
    if largest > most:
        name = str(dtype).removeprefix("torch.")
        raise UserError(
            f"data {few.data.name}: inputs reach {largest:.2g}, and in {name} squares are computed "
            f"up to inputs of {most:.2g}; {SCALE}"
        )


def without_slope(few: "Network", outputs: Tensor) -> str:
    """What is said of a network whose loss has no gradient at outputs [b, …]."""
    name = few.function.name
    largest = float(outputs.abs().max())
    if largest > FLAT:
        return (
            f"model: the gradient of {name} at a random point is 0: its outputs reach "
            f"{largest:.2g}, where the loss is flat to rounding; see how large its inputs and "
            f"weights are, and {SCALE}"
        )
    return (
        f"model: no gradient of the loss reaches a parameter of {name}; see where its forward pass "
        f"detaches"
    )
