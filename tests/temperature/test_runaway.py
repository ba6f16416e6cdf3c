"""A search after a minimum that is not there is told before any cloud is let go."""

import pytest
import torch

from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.models.linear import Linear
from sgdtheory.rng import stream
from sgdtheory.temperature.minimisation import find_minimum


def clouds(apart: bool) -> Examples:
    """Two classes on a line, which overlap where they are not apart."""
    targets = torch.arange(40) % 2
    inputs = torch.randn(40, 1, generator=stream(0, "clouds"))
    if apart:
        inputs = (inputs.abs() + 0.5) * (2 * targets[:, None] - 1)
    return Examples(inputs, targets, inputs, targets, 2, "clouds")


def test_classes_that_are_told_apart_have_no_minimum() -> None:
    landscape = Network(Linear, clouds(apart=True), weight_decay=0.0)
    with pytest.raises(UserError, match="has no minimum here: the loss falls to 0"):
        find_minimum(landscape, None, 0)


@pytest.mark.parametrize(
    "landscape",
    [
        Network(Linear, clouds(apart=True), weight_decay=1e-3),
        Network(Linear, clouds(apart=False), weight_decay=0.0),
        Network(
            Linear, clouds(apart=True), weight_decay=0.0, loss=CrossEntropy(label_smoothing=0.1)
        ),
    ],
)
def test_what_has_a_minimum_has_one(landscape: Network) -> None:
    """By decay, by classes that overlap, by targets that are not certain."""
    theta = find_minimum(landscape, None, 0)
    slope = torch.autograd.functional.jacobian(lambda x: landscape.losses(x[None])[0], theta)
    assert isinstance(slope, torch.Tensor) and float(slope.norm()) < 1e-6
