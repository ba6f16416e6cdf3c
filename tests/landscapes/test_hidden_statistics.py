"""Normalisation by hand, whose running statistics are kept where no checkpoint has them."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.rng import stream

EXAMPLES = (torch.randn(40, 12, generator=stream(0, "inputs")), torch.arange(40) % 4)


class ByHand(nn.Module):
    """`kept`: in a plain attribute, a dictionary or a closure."""

    def __init__(self, kept: str) -> None:
        super().__init__()
        mean = torch.zeros(8)
        self.scale = nn.Parameter(torch.ones(8))
        self.kept = mean if kept == "attribute" else {"mean": mean}
        if kept == "closure":
            self.move = lambda now: mean.mul_(0.9).add_(now, alpha=0.1)
        else:
            self.move = lambda now: self.moved(now)
        self.read = lambda: mean if kept == "closure" else self.mean

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.kept["mean"] if isinstance(self.kept, dict) else self.kept
        return mean

    def moved(self, now: Tensor) -> None:
        mean = 0.9 * self.mean + 0.1 * now
        self.kept = {"mean": mean} if isinstance(self.kept, dict) else mean

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.move(x.mean(0).detach())
            return (x - x.mean(0)) * self.scale
        return (x - self.read().to(x)) * self.scale


def net(kept: str) -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), ByHand(kept), nn.Tanh(), nn.Linear(8, 4))


@pytest.mark.parametrize("kept", ["attribute", "dictionary", "closure"])
def test_what_training_moves_and_no_buffer_holds_is_refused(kept: str) -> None:
    """A trained one had a loss of .10, and 9.15 by its state dict, which lacks them."""
    with pytest.raises(UserError, match="by something that is no buffer"):
        sgdtheory.landscape(partial(net, kept), EXAMPLES).check()


def test_what_remembers_without_using_it_is_let_pass() -> None:
    class Watched(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            self.last = super().forward(x)
            return self.last

    sgdtheory.landscape(lambda: nn.Sequential(Watched(12, 4)), EXAMPLES).check()


def test_a_module_without_numbers_is_refused() -> None:
    with torch.device("meta"):
        module = nn.Linear(12, 4)
    with pytest.raises(UserError, match="Linear cannot be copied"):
        sgdtheory.landscape(module, EXAMPLES)
