"""Batch-norm statistics as coordinates: evaluation mode, where searches often take them along."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.derived.kept_statistics import KeptStatistics
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mobilenet import MobileNet
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream

NET = Network(partial(MobileNet, width=2, doublings=1), digits(limit=60))
KEPT = KeptStatistics(NET)


def points() -> Tensor:
    return KEPT.init(2, stream(0, "points")).double()


def test_at_its_own_statistics_it_is_the_network_in_evaluation_mode() -> None:
    cloud = points()
    weights = KEPT.weights_of(cloud)
    scores = NET.score(weights, "train").losses.mean(1)
    torch.testing.assert_close(KEPT.losses(cloud) - NET.penalty(weights), scores)
    torch.testing.assert_close(KEPT.score(cloud, "train").losses.mean(1), scores)
    torch.testing.assert_close(KEPT.score(cloud, "test").errors, NET.score(weights, "test").errors)
    assert KEPT.dim == cloud.shape[1] > NET.dim


def test_halfway_statistics_are_halfway_and_not_the_networks() -> None:
    """What a module holds whose state dict is the mean of two."""
    cloud = points()
    middle = cloud.mean(0, keepdim=True)
    modules = [NET.model_at(theta) for theta in KEPT.weights_of(cloud)]
    halfway = copy.deepcopy(modules[0])
    first, second = (module.state_dict() for module in modules)
    mean = {name: (first[name] + second[name]) / 2 for name in first}
    halfway.load_state_dict(mean)
    inputs, targets = NET.examples("train")
    with torch.no_grad():
        outputs = halfway.eval()(NET.data.prepared(inputs, torch.float64))
    wanted = torch.nn.functional.cross_entropy(outputs, targets)
    seen = KEPT.score(middle, "train").losses.mean()
    torch.testing.assert_close(seen, wanted)
    own = NET.score(KEPT.weights_of(middle), "train").losses.mean()
    assert abs(float(seen - own)) > 1e-3


def test_no_gradient_moves_statistics() -> None:
    cloud = points()
    batch = KEPT.batch(torch.arange(20)[None])
    losses, gradients = value_and_grad(KEPT, cloud, batch)
    assert bool((gradients[:, NET.dim :] == 0).all())
    direction = torch.zeros_like(cloud)
    direction[:, : NET.dim] = torch.randn(2, NET.dim, generator=stream(0, "v")).double()
    step = 1e-6
    above = KEPT.losses(cloud + step * direction, batch)
    below = KEPT.losses(cloud - step * direction, batch)
    slopes = (above - below) / (2 * step)
    torch.testing.assert_close(slopes, (gradients * direction).sum(1), rtol=1e-4, atol=1e-6)
    # they are arguments all the same
    moved = cloud.clone()
    moved[:, NET.dim :] *= 2
    assert not torch.allclose(KEPT.losses(moved, batch), losses)


@pytest.mark.parametrize("name", ["count", "rows_at_once"])
def test_it_is_descended_as_the_network_is(name: str) -> None:
    assert getattr(KEPT, name) == getattr(NET, name)
    assert KEPT.learning_rate() == NET.learning_rate()
    assert KEPT.constant_loss() == NET.constant_loss()
    assert KEPT.lowest_loss() == NET.lowest_loss() == 0
