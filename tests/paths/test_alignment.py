"""Permutations: the function stays, a planted one is found, and what is not understood is refused."""

from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from sgdtheory.data.digits import digits
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.models.cnn import CNN
from sgdtheory.models.densenet import DenseNet
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.paths.alignment import align
from sgdtheory.paths.symmetry import Symmetry
from sgdtheory.paths.symmetry_search import find_symmetry
from sgdtheory.paths.units.layout import same
from sgdtheory.paths.units.rules import RULES
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream

SHAPE = (1, 8, 8)
MODELS: dict[str, Any] = {
    "mlp": MLP,
    "cnn": CNN,
    "cnn flattened": partial(
        CNN, width=6, depth=1, dense=24
    ),  # 16 pixels a channel into the dense layer
    "resnet8": partial(ResNet, depth=8, width=8, shortcut="conv"),
    "resnet20": partial(ResNet, depth=20, width=8, shortcut="pad"),
    "densenet": partial(DenseNet, depth=10, growth=6),
    "densenet bc": partial(DenseNet, depth=16, growth=4, bottleneck=True, compression=0.5),
}


@cache
def network(name: str) -> tuple[Network, Symmetry]:
    landscape = Network(MODELS[name], digits(), weight_decay=0.0)
    return landscape, find_symmetry(landscape.module, SHAPE)


def change_of_function(module: nn.Module, found: Symmetry, name: str = "") -> float:
    """The largest change of an output, batch statistics throughout, at random weights of order 1."""
    draws = stream(0, "function", name)
    images = torch.randn(8, *SHAPE, generator=draws, dtype=torch.float64)
    scale = torch.cat(
        [
            torch.full((p.numel(),), p[0].numel() ** -0.5 if p.ndim > 1 else 0.5)
            for p in module.parameters()
        ]
    )
    theta = scale.double() * torch.randn(len(scale), generator=draws, dtype=torch.float64)
    moved = found.apply(theta, found.random(draws))
    assert not torch.equal(moved, theta)
    before, after = (
        functional_call(module.double().train(), found.parts(x), (images,)) for x in (theta, moved)
    )
    assert before.std() > 1e-3
    return float((after - before).abs().max())


@pytest.mark.parametrize("name", MODELS)
def test_function_is_unchanged(name: str) -> None:
    module = MODELS[name](shape=SHAPE, classes=10)
    assert change_of_function(module, find_symmetry(module, SHAPE), name) < 1e-10


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mlp", [32, 32]),
        ("cnn", [12, 12, 12, 256]),
        ("cnn flattened", [6, 24]),
        ("resnet8", [8, 8, 16, 16, 32, 32]),  # the stream of each stage, and inside of its block
        (
            "resnet20",
            [8, *[8] * 3, 16, 8, *[16] * 2, 32, 16, *[32] * 2],
        ),  # a padded stage: the stream before, and the new
        ("densenet", [16, 6, 6, 28, 6, 6, 40, 6, 6]),
    ],
)
def test_groups(name: str, sizes: list[int]) -> None:
    assert [group.size for group in network(name)[1].groups] == sizes


def test_an_mlp_written_out() -> None:
    """Row i of a layer and column i of the next move together."""
    _, found = network("mlp")
    theta = torch.arange(3466.0)
    one, two = found.random(stream(0))
    before, after = found.parts(theta), found.parts(found.apply(theta, [one, two]))
    assert torch.equal(after["layers.0.weight"], before["layers.0.weight"][one])
    assert torch.equal(after["layers.0.bias"], before["layers.0.bias"][one])
    assert torch.equal(after["layers.1.weight"], before["layers.1.weight"][two][:, one])
    assert torch.equal(after["layers.2.weight"], before["layers.2.weight"][:, two])
    assert torch.equal(after["layers.2.bias"], before["layers.2.bias"])


@pytest.mark.parametrize("name", MODELS)
def test_planted_permutation_is_found_exactly(name: str) -> None:
    landscape, found = network(name)
    for seed, theta in enumerate(landscape.init(20, stream(0, "planted", name))):
        moved = found.apply(theta, found.random(stream(seed, "permutation")))
        assert not torch.equal(moved, theta)
        assert torch.equal(align(found, moved, theta, stream(seed, "align"), restarts=0), theta)


@pytest.mark.parametrize("noise", [0.03, 0.3])
@pytest.mark.parametrize("name", MODELS)
def test_under_noise_the_planted_permutation_is_matched_or_bettered(
    name: str, noise: float
) -> None:
    landscape, found = network(name)
    for seed, theta in enumerate(landscape.init(3, stream(0, "noisy", name))):
        noisy = theta + noise * torch.randn(theta.shape, generator=stream(seed, "noise"))
        moved = found.apply(noisy, found.random(stream(seed, "permutation")))
        aligned = align(found, moved, theta, stream(seed, "align"))
        assert (aligned - theta).double().norm() <= (noisy - theta).double().norm() * (1 + 1e-9)


def test_nearly_dead_units_are_found_where_nothing_blurs_them() -> None:
    landscape, found = network("mlp")
    theta = landscape.init(1, stream(0, "dead"))[0]
    parts = found.parts(theta)
    parts["layers.0.weight"][:8] *= 1e-9
    parts["layers.0.bias"][:8] *= 1e-9
    parts["layers.1.weight"][:, :8] *= 1e-9
    theta = torch.cat([part.flatten() for part in parts.values()])
    moved = found.apply(theta, found.random(stream(0, "permutation")))
    assert torch.equal(align(found, moved, theta, stream(0)), theta)


def test_aligned_is_never_farther_and_repeats_itself() -> None:
    landscape, found = network("resnet8")
    moving, fixed = landscape.init(2, stream(0, "independent"))
    once, again = (align(found, moving, fixed, stream(0, "align")) for _ in range(2))
    assert torch.equal(once, again)
    assert (once - fixed).norm() < 0.97 * (moving - fixed).norm()
    assert torch.equal(align(found, fixed, fixed, stream(0)), fixed)


def test_straight_line_between_trained_mlps() -> None:
    """Weight matching takes away most of the barrier (seen .84 → .064 with 4000 steps)."""
    landscape, found = network("mlp")
    cloud = landscape.init(2, stream(0, "init"))
    draws = stream(0, "batches")
    for _ in range(1000):
        batch = landscape.batch(torch.randint(landscape.count, (2, 128), generator=draws))
        cloud = cloud - 0.5 * (value_and_grad(landscape, cloud, batch)[1] + 1e-3 * cloud)
    one, two = cloud
    at = torch.linspace(0, 1, 11)[:, None]

    def barrier(other: Tensor) -> float:
        losses = landscape.losses(one + at * (other - one))
        return float(losses.max() - losses[[0, -1]].max())

    assert barrier(align(found, two, one, stream(0))) < 0.2 * barrier(two)


# modules of others


class Odd(nn.Module):
    """Much that our models do not do: depthwise and gated channels, zeros by hand, shared weights,
    a bias a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.depthwise = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.gate = nn.Linear(12, 12)
        self.shift = nn.Parameter(torch.zeros(12, 1, 1))
        self.wide = nn.Conv2d(12, 20, 1)
        self.turn = nn.Linear(20, 20)
        self.head = nn.Linear(20, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.depthwise(self.stem(images)))
        gate = torch.sigmoid(self.gate(x.mean((2, 3)))).reshape(len(x), 12, 1, 1)
        x = x * gate + self.shift
        padded = torch.cat([x, x.new_zeros(len(x), 8, 8, 8)], 1)
        x = (self.wide(x) + padded)[:, :, 1:-1, ::2].amax(3).mean(-1)
        x = x + torch.tanh(self.turn(torch.tanh(self.turn(x))))
        logits: Tensor = self.head(x)
        return logits


def test_a_module_of_many_operations() -> None:
    module = Odd()
    found = find_symmetry(module, SHAPE)
    # the channels of the stem, the two that each makes, those of the sum that are padded
    assert [group.size for group in found.groups] == [6, *[2] * 6, 8]
    assert change_of_function(module, found) < 1e-10
    draws = stream(0, "odd")
    theta = torch.randn(sum(p.numel() for p in module.parameters()), generator=draws)
    moved = found.apply(theta, found.random(draws))
    assert torch.equal(align(found, moved, theta, draws), theta)


class Applied(nn.Module):
    """A convolution, something, and a head."""

    def __init__(self, something: Any) -> None:
        super().__init__()
        self.stem, self.head, self.something = nn.Conv2d(1, 4, 3), nn.Linear(4, 10), something

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.something(self.stem(images)).mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    ("something", "named"),
    [
        (lambda x: x.median(1, keepdim=True).values * x, "median"),
        (lambda x: x.cummax(1).values, "cummax"),
        (lambda x: x.sort(1).values, "sort"),
        (lambda x: torch.zeros_like(x).copy_(x), "copy"),
    ],
)
def test_an_unknown_operation_is_named(something: Any, named: str) -> None:
    with pytest.raises(UserError, match=f"across '{named}'"):
        find_symmetry(Applied(something), SHAPE)


def test_constants_that_tell_channels_apart_hold_them() -> None:
    apart = find_symmetry(
        Applied(lambda x: x * torch.arange(4.0, dtype=x.dtype)[:, None, None]), SHAPE
    )
    assert apart.groups == ()
    assert [
        group.size
        for group in find_symmetry(Applied(lambda x: 1 + x * torch.ones(4, 1, 1)), SHAPE).groups
    ] == [4]


def test_a_wrong_rule_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "flip", same)
    with pytest.raises(UserError, match="changes what Applied computes"):
        find_symmetry(Applied(lambda x: x.flip(1) * x), SHAPE)


def test_the_module_is_left_as_it_was() -> None:
    module = CNN(SHAPE, 10).train()
    before = {name: x.clone() for name, x in module.state_dict().items()}
    find_symmetry(module, SHAPE)
    assert module.training
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())
