"""Mixed precision: matrix products and convolutions in bfloat16, all else as it was.

Weights, gradients, losses and the optimiser's state stay what they are, as in Micikevicius et al.
2018 (1710.03740); bfloat16 has the range of float32, so no loss is scaled. A gradient is off by
some per cent of its length on a network with batch norm, which is why nothing is ever measured with
it: scores, barriers, spectra and temperatures know float32 and float64 alone.
"""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from sgdtheory.errors import UserError, in_a_line
from sgdtheory.protocol import Cloud

if TYPE_CHECKING:
    from sgdtheory.landscapes.network import Network

Precision = Literal["full", "bf16"]  # full: the dtype of the cloud


def mixed(losses_of_rows: Callable[..., Tensor], device: torch.device) -> Callable[..., Tensor]:
    """The losses [P] of a cloud, inputs and targets, computed under torch's autocast."""

    @wraps(losses_of_rows)
    def of_rows(cloud: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return losses_of_rows(cloud, inputs, targets)

    return of_rows


def apart_in_training(few: "Network", point: Cloud) -> str:
    """How far the gradient that `train` descends by at a point [1, n] is from the full one, in
    words; UserError where the network cannot be evaluated in that precision."""
    if few.precision == "full":
        return ""
    batch = few.first_batch()
    _, gradient = few.losses_and_gradients(point, batch)
    try:
        _, used = few.in_training(point.dtype).losses_and_gradients(point, batch)
    except Exception as fault:  # of whatever kind: it is a stranger's code
        raise UserError(
            f"model: {few.function.name} fails in {few.precision} ({in_a_line(fault, 160)}); "
            f"use landscape.precision=full"
        ) from fault
    apart = (used - gradient).norm() / gradient.norm()
    percent = 100 * float(apart)
    return f", the gradient in {few.precision} off by {percent:.1g} %"
