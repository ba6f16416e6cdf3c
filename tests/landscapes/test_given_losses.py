"""Losses as people write them: in place, with `squeeze()`, with torch's own classes; each is what it
would be in plain torch, or refused in a line that names it."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sgdtheory
from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import example_gradients
from sgdtheory.landscapes.network import Network
from sgdtheory.losses.binary import Binary
from sgdtheory.losses.custom import Custom
from sgdtheory.losses.huber import Huber
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.mse import MSE
from sgdtheory.notebook.points import point_of
from sgdtheory.protocol import hvp, value_and_grad
from sgdtheory.rng import stream

INPUTS = torch.randn(30, 5, generator=stream(0, "x"))
CLASSES = torch.randint(3, (30,), generator=stream(0, "y"))
NUMBERS = torch.randn(30, generator=stream(0, "numbers"))
ROUNDING = 1e-12  # relative, of a sum of thirty numbers in float64

Given = Callable[[Tensor, Tensor], Tensor]


def shifted_in_place(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy, which does not feel a shift of all logits."""
    outputs -= 7 + outputs.max(1, keepdim=True).values.detach()
    return F.cross_entropy(outputs, targets, reduction="none")


def two_classes_in_place(outputs: Tensor, targets: Tensor) -> Tensor:
    targets.clamp_(max=1)
    return F.cross_entropy(outputs, targets, reduction="none")


def two_classes(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets.clamp(max=1), reduction="none")


def landscape_of(module: nn.Module, loss: object, targets: Tensor = CLASSES) -> Network:
    return sgdtheory.landscape(module, (INPUTS, targets), loss=loss, weight_decay=0.01)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (shifted_in_place, partial(F.cross_entropy, reduction="none")),
        (two_classes_in_place, two_classes),
    ],
    ids=["outputs", "targets"],
)
@pytest.mark.parametrize("hidden", [False, True], ids=["by hand", "by autograd"])
def test_a_loss_may_write_over_what_it_is_given(written: Given, plain: Given, hidden: bool) -> None:
    module: nn.Module = nn.Linear(5, 3)
    if hidden:
        module = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))
    before = CLASSES.clone()
    found, expected = (landscape_of(module, loss) for loss in (written, plain))
    assert "same bits twice" in found.check()
    theta = point_of(found, module).double()[None]
    vector = torch.randn(theta.shape, generator=stream(0, "v"), dtype=theta.dtype)
    pairs = [
        *zip(value_and_grad(found, theta), value_and_grad(expected, theta), strict=True),
        (hvp(found, theta, vector), hvp(expected, theta, vector)),
        *zip(found.score(theta, "train"), expected.score(theta, "train"), strict=True),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=ROUNDING, atol=ROUNDING)
    assert found.constant_loss() == pytest.approx(expected.constant_loss(), rel=1e-6)
    row = sgdtheory.diagnose(found, [module], ["noise"], quiet=True).to_dicts()[0]
    assert row["noise_trace"] > 0
    assert torch.equal(CLASSES, before)


def test_one_example_of_a_loss_that_squeezes() -> None:
    """By hand: ∂(wx + b − y)²/∂(w, b) = 2r(x, 1)."""

    def squares(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.squeeze()[:] - targets).square()  # an indexed number is no number

    module = nn.Linear(5, 1)
    landscape = landscape_of(module, squares, NUMBERS)
    landscape.check()
    theta = point_of(landscape, module).double()
    x = torch.cat([INPUTS.double(), torch.ones(30, 1, dtype=torch.float64)], 1)
    expected = 2 * (x @ theta - NUMBERS.double())[:, None] * x + 0.01 * theta
    for rows in (1, 30):
        found = [example_gradients(landscape, theta, part) for part in torch.arange(30).split(rows)]
        torch.testing.assert_close(torch.cat(found), expected, rtol=ROUNDING, atol=ROUNDING)


def spoiled(outputs: Tensor, targets: Tensor) -> Tensor:
    """Its gradient needs what it has written over."""
    powers = outputs.exp()
    losses = powers.sum(1) - targets
    powers.zero_()
    return losses


@pytest.mark.parametrize(
    ("loss", "targets", "says"),
    [
        (nn.CrossEntropyLoss(), CLASSES, r"CrossEntropyLoss\(…\): gives \[\] .*reduction=\"none\""),
        (nn.MSELoss(), NUMBERS[:, None], r"MSELoss\(…\): gives \[\] for 2 .*reduction=\"none\""),
        (partial(F.cross_entropy), CLASSES, r"functional:cross_entropy: gives \[\] .*reduction"),
        (
            nn.MSELoss(reduction="none"),
            NUMBERS[:, None],
            r"gives \[2, 1\] .* mean over its numbers",
        ),
        (nn.CrossEntropyLoss, CLASSES, r"a class is no loss; .* CrossEntropyLoss\(…\)"),
        (spoiled, NUMBERS, r"test_given_losses:spoiled: fails on outputs .*inplace"),
    ],
    ids=["module", "squares", "partial", "each number", "class", "spoiled"],
)
def test_what_gives_no_losses_is_named_as_it_was_given(
    loss: object, targets: Tensor, says: str
) -> None:
    module = nn.Linear(5, 3 if targets is CLASSES else 1)
    with pytest.raises(UserError, match=rf"^landscape\.loss.*{says}") as fault:
        landscape_of(module, loss, targets)
    assert len(str(fault.value).splitlines()) == 1


@pytest.mark.parametrize("loss", [MSE(), Huber(), Binary(), Custom(lambda f, y: (f - y) ** 2)])
def test_no_loss_broadcasts_examples(loss: Loss) -> None:
    """Outputs [P] of P points, each of one example whose axis is lost."""
    with pytest.raises((UserError, RuntimeError)):
        loss.losses(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises((UserError, RuntimeError)):
        loss.losses(torch.zeros(4, 1), torch.zeros(4, 6))
