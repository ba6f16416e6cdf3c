"""What the run-time check of shapes sees."""

import pytest
import torch
from torch import Tensor

from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.protocol import hvp, value_and_grad, values


class Wrong(Quadratic):
    """Losses with an axis too many."""

    def losses(self, cloud: Tensor, batch: Tensor | None = None) -> Tensor:
        return super().losses(cloud, batch)[:, None]


def test_the_right_shapes_pass() -> None:
    bowl, cloud = Quadratic(), torch.zeros(3, 10)
    assert values(bowl, cloud).shape == (3,) and hvp(bowl, cloud, cloud).shape == (3, 10)


def test_losses_of_another_shape_are_seen() -> None:
    with pytest.raises(AssertionError, match="value_and_grad"):
        value_and_grad(Wrong(), torch.zeros(3, 10))


@pytest.mark.parametrize("shape", [(10,), (3, 9), (1, 3, 10)])
def test_what_is_no_cloud_is_seen(shape: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError, match=r"no \[P, n\]"):
        values(Quadratic(), torch.zeros(shape))
