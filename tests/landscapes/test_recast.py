"""Losses of one's own with numbers of their own: in the dtype of the outputs, whatever theirs."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.notebook.points import point_of
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream

WEIGHTS = torch.tensor([0.1, 0.3, 1.7])
INPUTS = torch.randn(60, 5, generator=stream(0, "x"))
CLASSES = torch.randint(3, (60,), generator=stream(0, "y"))


class Scaled(nn.Module):
    """Squares of errors in units of a buffer, of a parameter and of an integer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("units", WEIGHTS)
        self.register_buffer("steps", torch.tensor(2))
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        assert self.units.dtype == self.scale.dtype == outputs.dtype
        wanted = F.one_hot(targets, 3)
        return (self.scale * self.units * (outputs - wanted)).square().sum(1) * self.steps


def by_hand(outputs: Tensor) -> Tensor:
    """w_c·(−log p_c) of each example, [60]."""
    weights = WEIGHTS.to(outputs)[CLASSES]
    return -weights * outputs.log_softmax(1)[torch.arange(60), CLASSES]


def scaled(outputs: Tensor) -> Tensor:
    errors = outputs - F.one_hot(CLASSES, 3)
    return 2 * (torch.tensor(0.7).to(outputs) * WEIGHTS.to(outputs) * errors).square().sum(1)


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "weights of a module": (nn.CrossEntropyLoss(weight=WEIGHTS, reduction="none"), by_hand),
    "weights by name": (partial(F.cross_entropy, weight=WEIGHTS, reduction="none"), by_hand),
    "buffers and parameters": (Scaled(), scaled),
}


@pytest.mark.parametrize("name", LOSSES)
def test_numbers_of_a_loss_are_cast(name: str) -> None:
    """L and ∇L are those by hand: to rounding in float64, to 1e-6 in float32."""
    given, expected = LOSSES[name]
    model = nn.Linear(5, 3)
    landscape = sgdtheory.landscape(model, (INPUTS, CLASSES), loss=given, weight_decay=0.0)
    assert "same bits twice" in landscape.check()
    theta = point_of(landscape, model)
    for dtype, bound in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        point = theta.to(dtype)
        values, gradients = value_and_grad(landscape, point[None])
        leaf = point.double().requires_grad_()
        weight, bias = leaf[:15].view(3, 5), leaf[15:]
        mean = expected(INPUTS.double() @ weight.T + bias).mean()
        (slope,) = torch.autograd.grad(mean, leaf)
        assert float((values[0] - mean).abs() / mean) <= bound
        assert float((gradients[0] - slope).norm() / slope.norm()) <= bound
    assert WEIGHTS.dtype == torch.float32


def test_what_cannot_be_cast_is_told_of_the_loss() -> None:
    def closed(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, weight=WEIGHTS, reduction="none")

    says = r"landscape.loss_factory=.*closed: .* in float64 .*; take its own tensors `.to\(outputs"
    with pytest.raises(UserError, match=says):
        sgdtheory.landscape(nn.Linear(5, 3), (INPUTS, CLASSES), loss=closed)
