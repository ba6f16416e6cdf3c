"""Inputs too large to be computed with, and outputs where a loss is flat, are told as such."""

from functools import partial

import pytest
import torch
from torch import nn

from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.models.custom import custom
from sgdtheory.rng import stream


def scaled(factor: float) -> Network:
    """A linear softmax of two classes told by the sign of x, at inputs as large as the factor."""
    x = torch.randn(40, 3, generator=stream(0, "inputs"), dtype=torch.float64)
    y = (x[:, 0] > 0).long()
    data = Examples(factor * x[:30], y[:30], factor * x[30:], y[30:], 2, "large")
    return Network(partial(custom, factory=partial(nn.Linear, 3, 2)), data)


@pytest.mark.parametrize("factor", [1e20, 1e29])
def test_inputs_whose_squares_overflow_are_refused(factor: float) -> None:
    with pytest.raises(UserError, match=r"inputs reach .*in float32 squares .* 1\.8e\+19; scale"):
        scaled(factor).check()


class Right(nn.Module):
    """Logits ±w²x, of which the first is the larger wherever x > 0."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logit = x @ self.w.square()
        return torch.stack([logit, -logit], 1)


def test_a_flat_loss_is_told_from_a_detached_one() -> None:
    """Softmax at logits 10⁵ apart is 1 and 0, to all digits of float64: e⁻⁷⁴⁶ is 0 there."""
    x = 1e5 * torch.ones(40, 3, dtype=torch.float64)
    y = (torch.arange(40) == 29).long()  # of the few that are looked at all are right
    data = Examples(x[:30], y[:30], x[30:], y[30:], 2, "right")
    landscape = Network(partial(custom, factory=Right), data)
    with pytest.raises(UserError, match=r"gradient of Right .* is 0: its outputs reach .*e\+05"):
        landscape.check()


def test_ordinary_inputs_pass() -> None:
    assert "same bits" in scaled(1.0).check()
