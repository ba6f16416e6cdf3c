"""Training in bfloat16: other gradients, the same scores."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.precision import Precision
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.protocol import Cloud, value_and_grad
from sgdtheory.rng import stream
from tests.conftest import Command

FEW = digits().first(60, 40)
RESNET = partial(ResNet, depth=8, width=4)
ROUNDING = 2.0**-8  # of one number in bfloat16


def networks(model: Callable[..., nn.Module] = RESNET) -> tuple[Network, Network, Cloud]:
    """The same network in both precisions, and a point of it [1, n]."""
    precisions: tuple[Precision, Precision] = ("full", "bf16")
    full, mixed = (Network(model, FEW, precision=each) for each in precisions)
    return full, mixed, full.init(1, stream(0, "init"))


def distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("model", [MLP, RESNET])
def test_only_what_is_trained_by_is_rounded(model: Callable[..., nn.Module]) -> None:
    full, mixed, point = networks(model)
    batch = full.first_batch()
    _, exact = full.losses_and_gradients(point, batch)
    _, ours = mixed.losses_and_gradients(point, batch)
    assert torch.equal(ours, exact)
    _, used = mixed.in_training(torch.float32).losses_and_gradients(point, batch)
    assert used.dtype == torch.float32
    assert ROUNDING / 10 < distance(used, exact) < 50 * ROUNDING
    scored = mixed.score(point, "test").losses
    assert torch.equal(scored, full.score(point, "test").losses)


def test_is_torchs_autocast() -> None:
    full, mixed, point = networks()
    batch = full.first_batch()
    module = full.function.fresh(stream(0)).train()
    nn.utils.vector_to_parameters(point[0], module.parameters())
    inputs = full.data.prepared(batch.inputs[0], torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = module(inputs)
    loss = nn.functional.cross_entropy(outputs.float(), batch.targets[0])
    expected = torch.autograd.grad(loss, list(module.parameters()))
    flat = torch.cat([g.flatten() for g in expected])
    _, used = mixed.in_training(torch.float32).losses_and_gradients(point, batch)
    used = used[0] - mixed.weight_decay * point[0]
    _, exact = value_and_grad(full, point, batch)
    # the sums of batch norm are another kernel's: nearer to each other than to the full gradient
    assert distance(used, flat) < 0.5 * distance(exact[0], flat)


def test_the_self_check_says_how_far_it_is() -> None:
    _, mixed, _ = networks()
    assert "the gradient in bf16 off by" in mixed.check()


class Float32Alone(nn.Module):
    """A network that multiplies by a matrix in a way that autocast does not know of."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(64, 8)
        self.last = nn.Parameter(torch.randn(8, classes))

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.first(images.flatten(1))
        if hidden.dtype == torch.bfloat16:
            raise TypeError("no bfloat16 here")
        return hidden @ self.last


def test_a_network_that_cannot_is_refused() -> None:
    mixed = Network(Float32Alone, FEW, precision="bf16")
    with pytest.raises(UserError, match=r"fails in bf16 .*landscape\.precision=full"):
        mixed.check()


def test_through_the_command(sgdtheory: Command) -> None:
    words = "train model=resnet8 data.limit=200 minima=1 sgd.steps=8 landscape.precision=bf16"
    assert sgdtheory(*words.split(), "run.dir=mixed").code == 0
    both = sgdtheory(*words.split(), "dtype=float64", "run.dir=other")
    assert both.code == 2
    assert "drop one" in both.err
