"""Networks as landscapes: against plain modules in float64."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdtheory.data.digits import digits
from sgdtheory.data.images import Images
from sgdtheory.landscapes import batch_norm
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.penalty import Penalty
from sgdtheory.models.cnn import CNN
from sgdtheory.models.densenet import DenseNet
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.protocol import hvp, value_and_grad, values
from sgdtheory.rng import stream

FEW = digits().first(60, 40)
MODELS = {
    "linear": Linear,
    "mlp": partial(MLP, hidden=(8,), activation="tanh"),
    "cnn": partial(CNN, width=2, depth=1, dense=8),
    "resnet8": partial(ResNet, depth=8, width=4, shortcut="conv"),
    "densenet": partial(DenseNet, depth=7, growth=4),
}


def plain_loss(network: Network, theta: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """The objective of one point on some images by the plain module in training mode, written out."""
    module = network.function.fresh(stream(0)).double().train()
    parts = theta.split([p.numel() for p in module.parameters()])
    weights = {
        name: x.view(p.shape) for (name, p), x in zip(module.named_parameters(), parts, strict=True)
    }
    inputs = network.data.scaled(images, torch.float32).double()
    outputs = torch.func.functional_call(module, weights, (inputs,))
    return F.cross_entropy(outputs, labels) + 0.5 * network.weight_decay * (theta**2).sum()


@pytest.mark.parametrize(
    ("name", "rows"),
    [(name, rows) for name in MODELS for rows in ("loop", "vmap")]
    + [("mlp", "batched"), ("linear", "batched")],
)
def test_losses_gradients_and_products_are_the_plain_modules(name: str, rows: str) -> None:
    network = Network(MODELS[name], FEW, weight_decay=0.01, rows=rows)  # type: ignore[arg-type]
    cloud = network.init(2, stream(0, "init")).double()
    indices = torch.randint(60, (2, 12), generator=stream(0, "indices"))
    batch = network.batch(indices)
    losses, gradients = value_and_grad(network, cloud, batch)
    vectors = torch.randn(cloud.shape, generator=stream(0, "v"), dtype=torch.float64)
    products = hvp(network, cloud, vectors, batch)
    for p in range(2):
        theta = cloud[p].clone().requires_grad_()
        loss = plain_loss(
            network, theta, FEW.train_inputs[indices[p]], FEW.train_targets[indices[p]]
        )
        (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)
        (product,) = torch.autograd.grad(gradient @ vectors[p], theta)
        assert abs(float(losses[p] - loss.detach())) < 1e-12
        assert (gradients[p] - gradient).norm() < 1e-12 * gradient.norm()
        assert (products[p] - product).norm() < 1e-11 * product.norm()


class Unscaled(nn.Module):
    """Batch norms without weights, on vectors and on sequences."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 12), nn.Linear(12, classes)
        self.vectors, self.sequences = (
            nn.BatchNorm1d(12, affine=False),
            nn.BatchNorm1d(3, eps=0.1, affine=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.vectors(self.first(images.flatten(1)).tanh())
        found: Tensor = self.last(self.sequences(hidden.view(-1, 3, 4)).flatten(1))
        return found


def product_and_plain(network: Network) -> tuple[Tensor, Tensor]:
    """H(θ)v on the whole training set in float64, by the landscape and by the plain module."""
    theta, vector = network.init(2, stream(0, "init")).double()
    leaf = theta.clone().requires_grad_()
    loss = plain_loss(network, leaf, network.data.train_inputs, network.data.train_targets)
    (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
    return hvp(network, theta[None], vector[None])[0], torch.autograd.grad(gradient @ vector, leaf)[
        0
    ]


@pytest.mark.parametrize("rows", ["loop", "vmap"])
def test_products_through_batch_norms_of_every_kind(
    rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(Unscaled, FEW, rows=rows)  # type: ignore[arg-type]
    product, plain = product_and_plain(network)
    assert (product - plain).norm() < 1e-11 * plain.norm()
    monkeypatch.setattr(batch_norm, "_normalised", lambda norm, inputs: inputs - inputs.mean(0))
    assert (product_and_plain(network)[0] - plain).norm() > 0.1 * plain.norm()


def test_a_compiled_network_has_products_too() -> None:
    """torch cannot differentiate compiled code twice: they take another way, which nothing tells
    the user of."""
    network = Network(MODELS["mlp"], FEW, compile=True)
    product, plain = product_and_plain(network)
    assert (product - plain).norm() < 1e-11 * plain.norm()


def test_a_shared_batch_is_the_same_batch_for_all() -> None:
    for rows in ("loop", "vmap", "batched"):
        network = Network(MODELS["mlp"], FEW, rows=rows)  # type: ignore[arg-type]
        cloud = network.init(3, stream(0, "init")).double()
        one = torch.randint(60, (1, 10), generator=stream(0, "indices"))
        shared = value_and_grad(network, cloud, network.batch(one))
        separate = value_and_grad(network, cloud, network.batch(one.expand(3, -1)))
        assert torch.allclose(shared[0], separate[0]) and torch.allclose(shared[1], separate[1])


def test_mini_batches_are_unbiased_without_batch_norm() -> None:
    network = Network(MODELS["mlp"], FEW)
    cloud = network.init(1, stream(0, "init")).double()
    whole = value_and_grad(network, cloud)[1][0]
    indices = torch.randint(60, (1, 400, 6), generator=stream(0, "indices"))
    drawn = torch.stack(
        [value_and_grad(network, cloud, network.batch(indices[:, k]))[1][0] for k in range(400)]
    )
    error = drawn.std(0) / 20
    z = ((drawn.mean(0) - whole) / error.clamp_min(1e-12))[error > 1e-9]
    assert (
        z.square().mean() < 1.5 and z.abs().max() < 5
    )  # a chi-square a parameter, most of them correlated


def test_the_objective_is_the_mean_over_its_parts() -> None:
    for name in ("mlp", "resnet8"):
        network = Network(MODELS[name], FEW, part=20)
        cloud = network.init(2, stream(0, "init")).double()
        by_hand = torch.stack(
            [weight * network.losses(cloud, part) for part, weight in network.parts()]
        ).sum(0)
        assert sum(weight for _, weight in network.parts()) == pytest.approx(1)
        assert torch.allclose(values(network, cloud), by_hand) and torch.allclose(
            network.losses(cloud), by_hand
        )
    whole, parted = (
        values(Network(MODELS["mlp"], FEW, part=part), torch.ones(1, 610).double())
        for part in (60, 7)
    )
    assert torch.allclose(
        whole, parted
    )  # without batch norm the partition is only a matter of memory


def test_population_statistics_are_those_of_the_whole_set() -> None:
    """One pass in training mode over all images is what scoring in evaluation mode must reproduce,
    exactly."""
    network = Network(MODELS["resnet8"], FEW, weight_decay=0.0)
    theta = network.init(1, stream(0, "init"))[0].double()
    score = network.score(theta[None], "train")
    in_training_mode = plain_loss(network, theta, FEW.train_inputs, FEW.train_targets)
    assert float(score.losses.mean()) == pytest.approx(float(in_training_mode), abs=1e-12)
    module = network.model_at(theta)
    assert not module.training
    outputs = module(FEW.scaled(FEW.test_inputs, torch.float32).double())
    expected = F.cross_entropy(outputs, FEW.test_targets, reduction="none")
    assert torch.allclose(network.score(theta[None], "test").losses[0], expected, atol=1e-12)


class Shaken(nn.Module):
    """A batch norm behind which training mode does what evaluation mode does not: every second
    channel is left out."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.norm, self.head = (
            nn.BatchNorm2d(shape[0]),
            nn.Linear(shape[0] * shape[1] * shape[2], classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(images).flatten(1)
        if self.training:
            x = x * (torch.arange(x.shape[1]) % 2)
        outputs: Tensor = self.head(x)
        return outputs


@pytest.mark.parametrize("model", [MODELS["resnet8"], MODELS["densenet"], Shaken])
def test_training_scores_are_evaluation_modes(model: Callable[..., nn.Module]) -> None:
    """They come with the statistics, by one pass; what a module does in training alone is not
    descended either."""
    network = Network(model, FEW)
    theta = network.init(1, stream(0, "init"))[0].double()
    module = network.model_at(theta)
    expected = F.cross_entropy(
        module(FEW.scaled(FEW.train_inputs, torch.float32).double()),
        FEW.train_targets,
        reduction="none",
    )
    assert network._population(theta).outputs is not None
    assert torch.allclose(network.score(theta[None], "train").losses[0], expected, atol=1e-12)


def test_scores_on_some_of_the_examples_are_those_of_a_smaller_set() -> None:
    network = Network(MODELS["resnet8"], FEW)
    some, theta = network.scored_on(25), network.init(1, stream(0, "init")).double()
    assert network.scored_on(60) is network and (network.scored, some.scored) == (60, 25)
    (images, labels), (test_images, test_labels) = some.examples("train"), some.examples("test")
    alone = Network(MODELS["resnet8"], replace(FEW, train_inputs=images, train_targets=labels))
    assert torch.equal(some.score(theta, "train").losses, alone.score(theta, "train").losses)
    assert torch.equal(
        some.statistics(theta[0])["stem.1.running_mean"],
        alone.statistics(theta[0])["stem.1.running_mean"],
    )
    assert len(test_labels) == 25 and not torch.equal(
        test_images, FEW.test_inputs[:25]
    )  # folders come sorted by class
    assert torch.equal(some.losses(theta), network.losses(theta))  # what is descended is the whole


def test_statistics_beyond_the_exact_size_are_close(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(MODELS["resnet8"], digits().first(600, 40))
    theta = network.init(1, stream(0, "init"))[0]
    exact = network.statistics(theta)
    monkeypatch.setattr("sgdtheory.landscapes.batch_norm.EXACT_IMAGES", 200)
    network._newest = (None, network._newest[1])
    close = network.statistics(theta)
    for name, buffer in exact.items():
        scale = exact[name.replace("mean", "var")].sqrt() if name.endswith("mean") else buffer
        assert ((close[name] - buffer).abs() / scale).max() < 3 / 200**0.5, (
            name
        )  # three standard errors of a batch


def test_batch_norm_buffers_are_no_coordinates() -> None:
    network = Network(MODELS["resnet8"], FEW)
    assert network.dim == sum(p.numel() for p in ResNet(FEW.shape, 10, 8, 4, "conv").parameters())
    assert not list(network.module.buffers())


def test_initial_points_are_the_authors_and_reproducible() -> None:
    network = Network(MODELS["cnn"], FEW)
    before = torch.get_rng_state()
    first, second = network.init(3, stream(0, "init")), network.init(3, stream(0, "init"))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, network.init(3, stream(1, "init")))


def test_mse_is_the_squared_distance_to_the_one_hot_label() -> None:
    network = Network(MODELS["linear"], FEW, loss="mse", weight_decay=0.0)
    zeros = torch.zeros(1, network.dim)
    assert float(values(network, zeros)[0]) == pytest.approx(0.1)  # (1/10)·1² over the classes


class WithDropout(nn.Module):
    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(16, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


def test_dropout_does_not_make_the_loss_random() -> None:
    network = Network(WithDropout, FEW)
    cloud = network.init(2, stream(0, "init"))
    assert torch.equal(values(network, cloud), values(network, cloud))


@pytest.mark.slow
def test_a_compiled_landscape_has_the_same_losses() -> None:
    plain, compiled = (Network(MODELS["mlp"], FEW, compile=compile) for compile in (False, True))
    cloud = plain.init(2, stream(0, "init"))
    batch = plain.batch(torch.arange(16).view(1, 16))
    for ours, theirs in zip(
        value_and_grad(plain, cloud, batch), value_and_grad(compiled, cloud, batch), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_has_the_same_losses_within_rounding() -> None:
    for name in ("mlp", "resnet8"):
        here, there = Network(MODELS[name], FEW), Network(MODELS[name], FEW, device="cuda")
        cloud = here.init(2, stream(0, "init")).double()
        for ours, theirs in zip(
            value_and_grad(here, cloud), value_and_grad(there, cloud.cuda()), strict=True
        ):
            assert torch.allclose(ours, theirs.cpu(), rtol=1e-8, atol=1e-8)


def test_constant_images_do_not_divide_by_zero() -> None:
    blank = torch.zeros(8, 1, 4, 4, dtype=torch.uint8)
    data = Images(blank, torch.arange(8) % 2, blank, torch.arange(8) % 2, 2, "blank")
    network = Network(Linear, data)
    assert torch.isfinite(values(network, network.init(1, stream(0)))).all()


@pytest.mark.parametrize("size", [1, 3_466, 1 << 14, 200_003, 2_000_003])
def test_the_penalty_of_steps_is_that_of_losses(size: int) -> None:
    """Steps took torch's own norm, off by 6e-5 at two million; half an ε for the square, the sum
    and the product each, and what blocks of 2¹⁴ lose, as below."""
    cloud = torch.randn(2, size, generator=stream(0, "cloud"))
    found = torch.ones(2)
    Penalty(0.5).add_to(found, cloud)
    exact = 1 + 0.25 * cloud.double().square().sum(1)
    assert ((found - exact).abs() <= 5e-7 * exact).all()


@pytest.mark.parametrize("size", [1, 3_466, 1 << 14, 2_000_003])
def test_the_penalty_of_many_parameters_is_exact_in_single_precision(size: int) -> None:
    """torch's own norm of two million floats is off by 4e-5, and a temperature is read off less."""
    cloud = torch.randn(2, size, generator=stream(0, "cloud"), requires_grad=True)
    found = Penalty(0.5)(cloud)
    exact = 0.25 * cloud.detach().double().square().sum(1)
    assert ((found - exact).abs() <= 5e-7 * exact).all()
    (gradient,) = torch.autograd.grad(found.sum(), cloud)
    assert torch.equal(gradient, 0.5 * cloud.detach())
