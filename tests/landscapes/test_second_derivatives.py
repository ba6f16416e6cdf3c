"""Second derivatives of losses by their outputs, against all of them by autograd."""

from math import prod

import pytest
import torch
from torch import Tensor

from sgdtheory.losses.binary import Binary
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.losses.huber import Huber
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.mse import MSE
from sgdtheory.losses.second_derivative import curved, why_not_convex
from sgdtheory.rng import stream


def classes(*shape: int) -> Tensor:
    return torch.randint(4, shape, generator=stream(0, "classes"))


def numbers(*shape: int) -> Tensor:
    return torch.rand(shape, generator=stream(0, "numbers"), dtype=torch.float64)


IGNORED = torch.where(numbers(1, 5, 3) < 0.4, -100, classes(1, 5, 3))
CASES: dict[str, tuple[Loss, tuple[int, ...], Tensor]] = {
    "classes": (CrossEntropy(), (1, 5, 4), classes(1, 5)),
    "smoothed": (CrossEntropy(0.2), (1, 5, 4), classes(1, 5)),
    "probabilities": (CrossEntropy(0.2), (1, 5, 4), numbers(1, 5, 4)),
    "places": (CrossEntropy(axis="last"), (1, 5, 3, 4), IGNORED),
    "places second": (CrossEntropy(0.1, axis="second"), (1, 5, 4, 3), IGNORED),
    "pictures": (CrossEntropy(axis="second"), (1, 2, 4, 3, 2), classes(1, 2, 3, 2)),
    "two points": (CrossEntropy(axis="last"), (2, 5, 3, 4), IGNORED),
    "mse": (MSE(), (1, 5, 4), numbers(1, 5, 4)),
    "mse of classes": (MSE(), (2, 5, 4), classes(1, 5)),
    "mse of one": (MSE(), (1, 5), numbers(1, 5)),
    "huber": (Huber(delta=0.3), (1, 5, 4), numbers(1, 5, 4)),
    "binary": (Binary(), (1, 5, 2), numbers(1, 5, 2).round()),
}


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_of_losses(name: str) -> None:
    loss, shape, targets = CASES[name]
    source = stream(0, "outputs")
    outputs, tangents = torch.randn(2, *shape, generator=source, dtype=torch.float64)

    def total(flat: Tensor) -> Tensor:
        return loss.losses(flat.view(shape), targets).sum()

    whole = torch.autograd.functional.hessian(total, outputs.flatten())
    expected = (whole @ tangents.flatten()).view(shape)
    found = curved(loss, outputs, targets, tangents)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    assert why_not_convex(loss, outputs[:1], targets[:1]) == ""
    assert found.shape == shape and prod(shape) == len(whole)


class Doubled(CrossEntropy):
    """A loss of a user's own under an inherited name."""

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Twice the loss of each example [P, b]."""
        return 2 * super().losses(outputs, targets)


def test_an_heir_that_computes_something_else() -> None:
    _, shape, targets = CASES["classes"]
    outputs, tangents = torch.randn(2, *shape, generator=stream(0, "heir"), dtype=torch.float64)
    of_parent = curved(CrossEntropy(), outputs, targets, tangents)
    torch.testing.assert_close(curved(Doubled(), outputs, targets, tangents), 2 * of_parent)
    assert why_not_convex(Doubled(), outputs, targets) == ""
