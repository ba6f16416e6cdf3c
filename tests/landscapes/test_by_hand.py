"""Losses and gradients that are written down: autograd's in float64, for chains and for nothing
else."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from random import Random

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from sgdtheory.annotations import Shape
from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError
from sgdtheory.landscapes.derived.gauss_newton import GaussNewton
from sgdtheory.landscapes.derived.ghost_batches import GhostBatchObjective
from sgdtheory.landscapes.derived.scored_once import ScoredOnce
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.network_objective import MiniBatch
from sgdtheory.losses.binary import Binary
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.losses.huber import Huber
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.mse import MSE
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.curves import CurveBatch, CurveLandscape
from sgdtheory.protocol import (
    Batch,
    Cloud,
    Landscape,
    by_autograd,
    states_gradients,
    value_and_grad,
)
from sgdtheory.rng import stream

CLASSES = 4
POINTWISE: Sequence[Callable[[], nn.Module]] = (
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    partial(nn.GELU, approximate="tanh"),
    nn.Identity,
    nn.Dropout,
    partial(nn.ReLU, inplace=True),
)


def examples(shape: tuple[int, ...] = (2, 3), numbers: bool = False, seed: int = 0) -> Examples:
    """Gaussian inputs, with classes or with their probabilities."""
    source = stream(seed, "examples")
    inputs = torch.randn(40, *shape, generator=source)
    targets = torch.randint(CLASSES, (40,), generator=source)
    if numbers:
        targets = torch.rand(40, CLASSES, generator=source).softmax(1)
    return Examples(inputs, targets, inputs[:8], targets[:8], CLASSES, "noise")


def chain(seed: int) -> Callable[..., nn.Module]:
    """A random chain of one to four linear maps, some without bias, nested."""
    draw = Random(seed)
    widths = [6, *(draw.randint(1, 9) for _ in range(draw.randint(0, 3))), CLASSES]

    def build(shape: tuple[int, ...], classes: int) -> nn.Module:
        del shape, classes
        local = Random(seed)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            linear = nn.Linear(before, after, bias=local.random() < 0.6)
            layers.append(nn.Sequential(local.choice(POINTWISE)(), linear))
        return nn.Sequential(*layers, nn.Identity())

    return build


def batches(landscape: Network, points: int, size: int = 5) -> list[MiniBatch]:
    """One mini-batch shared by all points, and one a point."""
    draw = partial(torch.randint, landscape.count, generator=stream(points, "batches"))
    return [landscape.batch(draw((rows, size))) for rows in (1, points)]


def apart(landscape: Network, points: int = 3) -> float:
    """The largest difference from autograd, relative to the largest number."""
    cloud = landscape.init(points, stream(1, "start")).double()
    worst = 0.0
    for batch in batches(landscape, points):
        found = value_and_grad(landscape, cloud, batch)
        expected = by_autograd(partial(landscape.losses, batch=batch), cloud)
        for ours, autograds in zip(found, expected, strict=True):
            assert ours.shape == autograds.shape
            assert not ours.requires_grad
            difference = (ours - autograds).abs().max() / autograds.abs().max()
            worst = max(worst, float(difference))
    return worst


@pytest.mark.parametrize("seed", range(12))
def test_random_chains(seed: int) -> None:
    options = ({}, {"decay": "weights"}, {"weight_decay": 0.0})[seed % 3]
    landscape = Network(chain(seed), examples(), **{"weight_decay": 0.1} | options)
    assert landscape.is_by_hand
    assert apart(landscape, (1, 32, 3)[seed // 3 % 3]) < 1e-12


LOSSES: dict[str, tuple[Loss, bool]] = {
    "cross entropy": (CrossEntropy(), False),
    "smoothed": (CrossEntropy(label_smoothing=0.3), False),
    "of probabilities": (CrossEntropy(label_smoothing=0.1), True),
    "mse of classes": (MSE(), False),
    "mse": (MSE(), True),
    "huber": (Huber(delta=0.3), True),
    "binary": (Binary(), True),
}


@pytest.mark.parametrize("points", [1, 32])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, points: int) -> None:
    loss, numbers = LOSSES[name]
    landscape = Network(partial(MLP, hidden=(5,)), examples(numbers=numbers), 0.1, loss)
    assert landscape.is_by_hand
    assert apart(landscape, points) < 1e-12


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_our_own_mlp(activation: str) -> None:
    landscape = Network(partial(MLP, activation=activation), examples((6,)))
    assert landscape.is_by_hand
    assert apart(landscape, 32) < 1e-12


@pytest.mark.parametrize(
    "parameters", ["layers.0.weight", "layers.1", "bias", "layers.2.bias", "layers.[02].weight"]
)
def test_frozen_parameters(parameters: str) -> None:
    """They are constants, and the landscape of others is another one."""
    model = partial(MLP, hidden=(5, 7))
    landscape = Network(model, examples(), 0.1, parameters=f".*{parameters}.*")
    assert landscape.is_by_hand
    assert apart(landscape) < 1e-12
    cloud = landscape.init(2, stream(2)).double()
    batch = batches(landscape, 2)[0]
    before = value_and_grad(landscape, cloud, batch)[0]
    doubled = {name: 2 * value for name, value in landscape.constants.items()}
    other = landscape.with_constants(doubled)
    assert apart(other) < 1e-12
    assert not torch.allclose(value_and_grad(other, cloud, batch)[0], before)


def test_the_whole_objective_and_one_written_over_the_last() -> None:
    landscape = Network(partial(MLP, hidden=(5,)), examples(), 0.1, part=16)
    cloud = landscape.init(3, stream(3)).double()
    losses, gradients = value_and_grad(landscape, cloud)
    expected = by_autograd(landscape.losses, cloud)
    torch.testing.assert_close((losses, gradients), expected, rtol=1e-12, atol=1e-14)
    batch = batches(landscape, 3)[1]
    alone = value_and_grad(landscape, cloud, batch)[1]
    again = value_and_grad(landscape, cloud, batch, gradients)[1]
    assert again.data_ptr() == gradients.data_ptr()
    assert torch.equal(again, alone)
    strided = gradients.T.contiguous().T
    assert torch.equal(value_and_grad(landscape, cloud, batch, strided)[1], alone)
    assert torch.equal(value_and_grad(landscape, cloud.T.contiguous().T, batch)[1], alone)


def test_large_logits_are_finite() -> None:
    landscape = Network(Linear, examples(), 0.0)
    cloud = 1e4 * landscape.init(2, stream(4))
    for found in value_and_grad(landscape, cloud, batches(landscape, 2)[1]):
        assert bool(torch.isfinite(found).all())


# who is not taken for a chain


class Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Residual(MLP):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) ** 2


class Backwards(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(-input)


def flat(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), *layers)


def hooked() -> nn.Module:
    module = nn.Linear(6, CLASSES)
    module.register_forward_hook(lambda module, given, outputs: 3 * outputs)
    return flat(module)


def written_over() -> nn.Module:
    module = nn.Linear(6, CLASSES)
    module.forward = lambda x: nn.functional.linear(x, module.weight)  # type: ignore[method-assign]
    return flat(module)


def shared() -> nn.Module:
    layer = nn.Linear(6, 6)
    return flat(layer, nn.Tanh(), layer, nn.Linear(6, CLASSES))


def tied() -> nn.Module:
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    return flat(first, nn.Tanh(), second, nn.Linear(6, CLASSES))


def stranger_in_mlp() -> nn.Module:
    module = MLP((6,), CLASSES, hidden=(5,))
    module.layers[0] = Doubled(6, 5)
    return module


STRANGERS: dict[str, Callable[[], nn.Module]] = {
    "own forward of a layer": lambda: flat(Doubled(6, CLASSES)),
    "own forward of a model": lambda: Residual((6,), CLASSES, hidden=(5,)),
    "own forward of a sequence": lambda: Backwards(nn.Flatten(), nn.Linear(6, CLASSES)),
    "hook": hooked,
    "forward written over": written_over,
    "shared layer": shared,
    "tied weights": tied,
    "parametrized": lambda: flat(weight_norm(nn.Linear(6, CLASSES))),
    "inside an MLP": stranger_in_mlp,
    "not pointwise": lambda: flat(nn.LayerNorm(6), nn.Linear(6, CLASSES)),
    "flattened from the front": lambda: nn.Sequential(
        nn.Linear(3, 3), nn.Flatten(), nn.Linear(6, CLASSES)
    ),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_are_not_taken_for_chains(name: str) -> None:
    landscape = Network(lambda shape, classes: STRANGERS[name](), examples(), 0.1)
    assert not landscape.is_by_hand
    assert apart(landscape) < 1e-12


def test_a_hook_that_comes_later() -> None:
    landscape = Network(Linear, examples())
    assert landscape.is_by_hand
    seen = []
    layer = landscape.module.get_submodule("layers.0")
    handle = layer.register_forward_hook(lambda *given: seen.append(given))
    assert not landscape.is_by_hand
    handle.remove()
    assert landscape.is_by_hand


def test_a_dropout_that_is_set_to_training() -> None:
    landscape = Network(lambda shape, classes: flat(nn.Dropout(), nn.Linear(6, 4)), examples())
    assert landscape.is_by_hand
    landscape.module.train()
    assert not landscape.is_by_hand


def test_views_are_of_the_cloud_that_is_given() -> None:
    """Also where a cloud was written over in place, or lies elsewhere now."""
    landscape = Network(partial(MLP, hidden=(5,)), examples(), 0.1)
    batch = batches(landscape, 2)[1]
    clouds = landscape.init(6, stream(9)).double().view(3, 2, -1)
    expected = [value_and_grad(landscape, cloud, batch)[1] for cloud in clouds]
    moved = clouds[0].clone()
    for cloud, gradients in zip(clouds, expected, strict=True):
        moved.copy_(cloud)
        assert torch.equal(value_and_grad(landscape, moved, batch)[1], gradients)
    moved.data = clouds[0].clone()
    assert torch.equal(value_and_grad(landscape, moved, batch)[1], expected[0])
    single = value_and_grad(landscape, moved.float(), batch)[1]
    torch.testing.assert_close(single.double(), expected[0], rtol=1e-4, atol=1e-5)


def test_the_way_that_was_asked_for() -> None:
    for rows in ("vmap", "loop"):
        assert not Network(Linear, examples(), rows=rows).is_by_hand


def test_landscapes_before_it_hand_it_on() -> None:
    landscape = Network(partial(MLP, hidden=(5,)), examples(), 0.1)
    ends = landscape.init(2, stream(6)).double()
    cloud = landscape.init(3, stream(7)).double()
    curve = CurveLandscape(landscape, ends)
    inner = batches(landscape, 3)[1]
    over: list[tuple[Landscape, Batch]] = [
        (ScoredOnce(landscape), inner),
        (GhostBatchObjective(landscape, 7, stream(8)), inner),
        (GhostBatchObjective(landscape, 7, stream(8)), None),
        (GaussNewton(landscape), inner),
        (curve, CurveBatch(torch.tensor([0.1, 0.6, 0.9]), inner)),
        (curve, CurveBatch(torch.tensor([0.6]), inner)),
        (curve, None),
    ]
    for other, batch in over:
        assert states_gradients(other)
        found = value_and_grad(other, cloud, batch)
        expected = by_autograd(partial(other.losses, batch=batch), cloud)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


class Bowl:
    """½|θ|², tilted by a mini-batch; a landscape of somebody else's with its gradient."""

    dim = 3

    def __init__(self) -> None:
        self.asked = 0

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        return torch.randn(points, 3, generator=stream)

    def sample(self, points: int, size: int, stream: torch.Generator) -> Tensor:
        return torch.randn(points, 3, generator=stream) / size**0.5

    def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
        tilt = 0 if batch is None else (batch * cloud).sum(1)
        return 0.5 * cloud.square().sum(1) + tilt

    def losses_and_gradients(
        self, cloud: Cloud, batch: Tensor | None = None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        self.asked += 1
        return self.losses(cloud, batch), cloud if batch is None else cloud + batch


class Steeper(Bowl):
    def losses(self, cloud: Cloud, batch: Tensor | None = None) -> Tensor:
        return 2 * super().losses(cloud, batch)


def test_a_landscape_of_somebody_elses() -> None:
    bowl, steeper = Bowl(), Steeper()
    start = bowl.init(4, stream(10))
    for landscape, asked in ((bowl, 7), (steeper, 0)):
        for state in SGD(7, 2, 0.1, Constant(), 0.5).run(landscape, start, 0):
            before = state.cloud + 0.1 * state.velocity
        batch = landscape.sample(4, 2, stream(0, "sample", 6))
        _, expected = by_autograd(partial(landscape.losses, batch=batch), before)
        assert landscape.asked == asked
        assert state.gradients is not None
        torch.testing.assert_close(state.gradients, expected)


class OneHot(Examples):
    """Codes that a network is given as vectors: what it sees has another shape than what is kept."""

    def prepared(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        return nn.functional.one_hot(inputs, 5).to(dtype)


def test_the_shape_that_a_network_sees() -> None:
    codes = torch.randint(5, (40, 3), generator=stream(11))
    targets = torch.randint(CLASSES, (40,), generator=stream(12))
    data = OneHot(codes, targets, codes[:8], targets[:8], CLASSES, "codes")
    whole = Network(lambda shape, classes: flat(nn.Linear(15, CLASSES)), data)
    assert whole.is_by_hand
    assert apart(whole) < 1e-12

    def each(shape: Shape, classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 2), nn.Tanh(), nn.Flatten(), nn.Linear(6, CLASSES))

    apiece = Network(each, data)
    assert not apiece.is_by_hand
    assert apart(apiece) < 1e-12


class Squared(Network):
    """Other losses over those of a class whose gradients are written down."""

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        return super().losses(cloud, batch).square()


def test_gradients_are_of_the_losses_that_are_descended() -> None:
    assert apart(Squared(Linear, examples())) < 1e-12


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    Network(partial(MLP, activation="tanh"), examples()).check()
    monkeypatch.setattr(
        "sgdtheory.landscapes.chain_of_module.torch.ops.aten.tanh_backward",
        lambda g, y: g * (1 - y.abs()),
    )
    with pytest.raises(UserError, match="by hand"):
        Network(partial(MLP, activation="tanh"), examples()).check()


def test_descends_as_autograd_does() -> None:
    """In float64 200 steps by hand and by autograd stay together to rounding."""
    ends = []
    for rows in ("auto", "vmap"):
        landscape = Network(partial(MLP, activation="tanh"), examples(), 0.1, rows=rows)
        start = landscape.init(3, stream(5)).double()
        states = SGD(200, 8, 0.1, Constant(), 0.9).run(landscape, start, 0)
        ends.append([state.cloud.clone() for state in states][-1])
    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-12)
