"""Losses without second derivatives: where differences of gradients are exactly 0, products are
compared all the same."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.notebook.points import point_of
from sgdtheory.protocol import hvp
from sgdtheory.rng import stream

INPUTS = torch.randn(60, 5, generator=stream(0, "x"))
NUMBERS = torch.randn(60, 2, generator=stream(0, "y"))


def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs().mean(1)


def along(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs * targets).mean(1)


@pytest.mark.parametrize("decay", [0.0, 1e-3])
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6, 1e9, 1e12, 1e14])
@pytest.mark.parametrize("loss", [absolute, along, "mse"], ids=["absolute", "along", "mse"])
def test_nothing_is_divided_by_a_curvature_of_0(loss: Any, scale: float, decay: float) -> None:
    """H = λ of the first two, whatever the targets; of mse XᵀX/N besides, below the rounding of a
    gradient where targets are large."""
    model = nn.Linear(5, 2)
    data = (INPUTS, scale * NUMBERS)
    landscape = sgdtheory.landscape(model, data, loss=loss, weight_decay=decay)
    assert "no Hessian" not in landscape.check()
    if loss == "mse":
        return
    theta = point_of(landscape, model).double()[None]
    vector = torch.randn(theta.shape, generator=stream(0, "v"), dtype=torch.float64)
    torch.testing.assert_close(hvp(landscape, theta, vector), decay * vector)


class Straight(torch.autograd.Function):
    """x, and a gradient whose own derivative is not 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient + (x - x.detach())


def test_a_product_where_there_should_be_none_is_refused() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return along(Straight.apply(outputs), targets)

    landscape = sgdtheory.landscape(nn.Linear(5, 2), (INPUTS, NUMBERS), loss=loss)
    with pytest.raises(UserError, match="second derivatives of Linear are wrong, by 1 of"):
        landscape.check()
