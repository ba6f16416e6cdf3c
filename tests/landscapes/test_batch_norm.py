"""Batch norm in float32 on a CPU against float64; whose statistics; which modules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sgdtheory.data.digits import digits
from sgdtheory.data.images import Images
from sgdtheory.errors import UserError
from sgdtheory.landscapes import batch_norm
from sgdtheory.landscapes.batch_norm import (
    batch_statistics_only,
    by_products,
    has_foreign_batch_norm,
    population_statistics,
    with_population_statistics,
)
from sgdtheory.landscapes.network import Network
from sgdtheory.models.resnet import ResNet
from sgdtheory.protocol import hvp, value_and_grad
from sgdtheory.rng import stream

LAST = torch.channels_last


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=stream(seed, "normal"))


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def population(module: nn.Module, images: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return population_statistics(module, module, images, images[:0].flatten()).buffers


def statistics_error(found: dict[str, Tensor], exact: dict[str, Tensor]) -> float:
    """The largest relative error of a variance, or of a mean over its standard deviation."""
    assert found.keys() == exact.keys()
    return max(
        float(
            (
                (found[name].double() - exact[name])
                / (exact[name.replace("mean", "var")].sqrt() if "mean" in name else exact[name])
            )
            .abs()
            .max()
        )
        for name in exact
    )


def plain_statistics(values: Tensor) -> dict[str, Tensor]:
    rows = values.double().movedim(1, -1).flatten(0, -2)
    return {"running_mean": rows.mean(0), "running_var": rows.var(0, correction=0)}


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize(
    ("images", "channels"), [(128, 16), (682, 16), (2000, 4), (10_000, 2), (4099, 3)]
)
@pytest.mark.parametrize("shift", [0.0, 10.0])
def test_statistics_are_float64s(
    images: int, channels: int, shift: float, layout: torch.memory_format, number: int
) -> None:
    values = normal(images, channels, 32, 32).add_(shift).contiguous(memory_format=layout)
    module = batch_statistics_only(nn.BatchNorm2d(channels))
    with threads(number):
        assert statistics_error(population(module, values), plain_statistics(values)) < 1e-6


def test_sums_one_after_the_other_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    values = normal(682, 16, 32, 32).contiguous(memory_format=LAST)
    monkeypatch.setattr(batch_norm, "_is_ours", lambda *_: False)
    error = statistics_error(
        population(batch_statistics_only(nn.BatchNorm2d(16)), values), plain_statistics(values)
    )
    assert error > 1e-5


def gradient_error(values: Tensor) -> float:
    """The largest relative error of the gradients by inputs, weight and bias, of a function of one
    norm's outputs."""
    norm = nn.BatchNorm2d(values.shape[1])
    exact = deepcopy(norm).double()
    plain = partial(plainly_normalised, exact)
    expected = derivatives(plain, exact, values.double(), second=False)
    module = batch_statistics_only(norm)
    found = derivatives(module, module, values, second=False)
    return max(
        float((ours - theirs).detach().norm() / theirs.detach().norm())
        for ours, theirs in zip(found, expected, strict=True)
    )


def test_the_sums_of_the_backward_pass_are_float64s(monkeypatch: pytest.MonkeyPatch) -> None:
    values = normal(1000, 4, 32, 32).add_(1).contiguous(memory_format=LAST)
    assert gradient_error(values) < 2e-6
    assert gradient_error(values[:128]) < 3e-5  # what MINI_BATCH promises of a mini-batch
    monkeypatch.setattr(batch_norm, "_is_ours", lambda *_: False)
    assert gradient_error(values) > 2e-5


def every_kind() -> dict[str, tuple[nn.Module, Tensor]]:
    """Norms and inputs [N, C, …] of every number of axes and layout, some with many values a
    channel."""
    images, volumes = normal(300, 5, 4, 6), normal(40, 3, 4, 5, 6)
    return {
        "vectors": (nn.BatchNorm1d(7), normal(3001, 7)),
        "few vectors": (nn.BatchNorm1d(7), normal(40, 7)),
        "vectors, transposed": (nn.BatchNorm1d(5), normal(5, 3000).mT),
        "sequences": (nn.BatchNorm1d(5), normal(300, 5, 11)),
        "sequences, transposed": (nn.BatchNorm1d(5), normal(300, 11, 5).mT),
        "sequences of one": (nn.BatchNorm1d(5), normal(3000, 5, 1)),
        "images": (nn.BatchNorm2d(5), images),
        "images, channels last": (nn.BatchNorm2d(5), images.contiguous(memory_format=LAST)),
        "every second pixel": (nn.BatchNorm2d(5), images.contiguous(memory_format=LAST)[:, :, ::2]),
        "some of the channels": (nn.BatchNorm2d(3), images.contiguous(memory_format=LAST)[:, 1:4]),
        "one pixel": (nn.BatchNorm2d(6), normal(2000, 6, 1, 1)),
        "one channel": (nn.BatchNorm2d(1), normal(200, 1, 8, 8)),
        "volumes": (nn.BatchNorm3d(3), volumes),
        "volumes, channels last": (
            nn.BatchNorm3d(3),
            volumes.contiguous(memory_format=torch.channels_last_3d),
        ),
        "more channels than columns": (nn.BatchNorm1d(5000), normal(600, 5000)),
        "no scale": (nn.BatchNorm2d(5, affine=False), images.contiguous(memory_format=LAST)),
        "large eps": (nn.BatchNorm2d(5, eps=0.5), images.contiguous(memory_format=LAST)),
        "synchronised": (nn.SyncBatchNorm(5), images.contiguous(memory_format=LAST)),
        "no running statistics": (
            nn.BatchNorm2d(5, track_running_stats=False),
            images.contiguous(memory_format=LAST),
        ),
        "cumulative": (nn.BatchNorm2d(5, momentum=None), images.contiguous(memory_format=LAST)),
    }


def derivatives(
    forward: Callable[[Tensor], Tensor], norm: nn.Module, inputs: Tensor, second: bool = True
) -> list[Tensor]:
    """Outputs, the gradient by inputs and parameters of a curved function of them, and a product
    with its Hessian."""
    x = inputs.detach().requires_grad_()
    leaves = [x, *norm.parameters()]
    for p in norm.parameters():
        p.data = normal(*p.shape, seed=1).to(p)
    outputs = forward(x)
    weights = normal(*outputs.shape, seed=2).to(x)
    gradient = torch.autograd.grad(
        (outputs * weights).tanh().square().sum(), leaves, create_graph=second
    )
    if not second:
        return [outputs, *gradient]
    vectors = [normal(*leaf.shape, seed=3).to(leaf) for leaf in leaves]
    return [outputs, *gradient, *torch.autograd.grad(gradient, leaves, vectors)]


def plainly_normalised(norm: Any, x: Tensor) -> Tensor:
    axes = [k for k in range(x.dim()) if k != 1]
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    found = (x - mean) / (variance + norm.eps).sqrt()
    shape = [1, -1] + [1] * (x.dim() - 2)
    return found if norm.weight is None else found * norm.weight.view(shape) + norm.bias.view(shape)


@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("kind", every_kind())
def test_norms_and_layouts_of_every_kind(kind: str, products: bool) -> None:
    norm, inputs = every_kind()[kind]
    exact = deepcopy(norm).double()
    expected = derivatives(partial(plainly_normalised, exact), exact, inputs.double())
    module = batch_statistics_only(norm)
    if products:
        with by_products(module):
            found = derivatives(module, module, inputs)
    else:
        found = derivatives(module, module, inputs)
    for ours, plain in zip(found, expected, strict=True):
        assert (ours - plain).norm() < 1e-5 * plain.norm()
    for ours, plain in zip(
        derivatives(module, module, inputs, second=False), expected, strict=False
    ):
        assert (ours - plain).norm() < 1e-5 * plain.norm()
    assert (
        found[0].is_contiguous() or not inputs.is_contiguous()
    )  # who flattens it may count on that
    assert statistics_error(population(module, inputs), plain_statistics(inputs)) < 1e-6


@pytest.mark.parametrize("of", ["gradient_sums", "moments_of_rows"])
def test_derivatives_see_a_wrong_sum(of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    norm, inputs = every_kind()["images, channels last"]
    exact = deepcopy(norm).double()
    expected = derivatives(partial(plainly_normalised, exact), exact, inputs.double())
    right = batch_norm.normalised.__globals__[of]
    monkeypatch.setitem(
        batch_norm.normalised.__globals__,
        of,
        lambda *args: tuple(1.001 * each for each in right(*args)),
    )
    module = batch_statistics_only(norm)
    found = derivatives(module, module, inputs)
    assert (
        max(
            float(((ours - plain).norm() / plain.norm()).detach())
            for ours, plain in zip(found, expected, strict=True)
        )
        > 1e-4
    )


class Kinks(TorchFunctionMode):
    """Which units of each ReLU are on: written down in a first pass, held in later ones.

    A unit within a rounding error of zero is on in one precision and off in the other, and the
    gradient differs by all that unit does: that is no matter of sums. So derivatives are compared
    on one smooth piece of the loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on: list[Tensor] = []
        self.held: Iterator[Tensor] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in (torch.relu, F.relu):
            return func(*args, **(kwargs or {}))
        if self.held is None:
            self.on.append(args[0] > 0)
            return args[0] * self.on[-1]
        return args[0] * next(self.held)


def cifar_shaped(images: int) -> Images:
    source = stream(0, "images")
    pixels = partial(torch.randint, 256, generator=source, dtype=torch.uint8)
    labels = partial(torch.randint, 10, generator=source)
    shape = (3, 32, 32)
    return Images(
        pixels((images, *shape)),
        labels((images,)),
        pixels((64, *shape)),
        labels((64,)),
        10,
        "random",
    )


RESNETS = {
    "ResNet-8": (
        partial(ResNet, depth=8, width=8, shortcut="conv"),
        lambda: digits().first(1024, 16),
    ),
    "ResNet-20, 64 images": (partial(ResNet, depth=20, width=16), lambda: cifar_shaped(64)),
    "ResNet-20, 682 images": (partial(ResNet, depth=20, width=16), lambda: cifar_shaped(682)),
}


def derivative_errors(name: str) -> tuple[float, float]:
    """Relative errors in float32 of the gradient and of a Hessian-vector product, on the same
    smooth piece of the loss."""
    model, data = RESNETS[name]
    network = Network(model, data(), weight_decay=1e-4)
    theta = network.init(1, stream(0, "init"))
    vector = normal(*theta.shape)
    kinks = Kinks()
    found = []
    for work in (lambda t: value_and_grad(network, t)[1], lambda t: hvp(network, t, vector.to(t))):
        kinks.on, kinks.held = [], None
        with kinks:
            single = work(theta)
        kinks.held = iter(kinks.on)
        with kinks:
            double = work(theta.double())
        found.append(float((single - double).norm() / double.norm()))
    return found[0], found[1]


@pytest.mark.parametrize(
    "name", [*list(RESNETS)[:2], pytest.param(list(RESNETS)[2], marks=pytest.mark.slow)]
)
def test_derivatives_of_resnets_are_float64s(name: str) -> None:
    assert max(derivative_errors(name)) < 1e-4


def test_a_point_is_scored_as_in_float64() -> None:
    """1,500 images: torch's sums are wrong by 1e-3 there."""
    model, data = partial(ResNet, depth=8, width=8), cifar_shaped(1500)
    theta = Network(model, data).init(1, stream(0, "init"))
    found, exact = (
        {split: float(network.score(point, split).losses.mean()) for split in ("train", "test")}  # type: ignore[arg-type]
        for network, point in (
            (Network(model, data), theta),
            (Network(model, data), theta.double()),
        )
    )
    assert found == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("length", [None, 4])
def test_rows_by_vmap_are_those_of_a_loop(length: int | None) -> None:
    """2,000 values a channel, with each row's own inputs and weights or shared ones; first and
    second derivatives."""
    norm = batch_statistics_only(nn.BatchNorm1d(6))
    inputs = normal(3, 2000, 6) if length is None else normal(3, 500, 6, length)
    weights = {"weight": normal(3, 6, seed=1), "bias": normal(3, 6, seed=2)}

    def call(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(norm, weights, (x,))

    for given, at in ((inputs, 0), (inputs[0], None)):
        for block in (by_products, None):
            leaves = [
                given.clone().requires_grad_(),
                *(w.clone().requires_grad_() for w in weights.values()),
            ]
            named = dict(zip(weights, leaves[1:], strict=True))
            each = [
                call({k: w[p] for k, w in named.items()}, leaves[0] if at is None else leaves[0][p])
                for p in range(3)
            ]
            with by_products(norm) if block else threads(1):
                rows = torch.func.vmap(call, in_dims=(0, at))(named, leaves[0])
            assert torch.allclose(rows, torch.stack(each), atol=1e-5)
            ours, plain = (
                torch.autograd.grad(x.tanh().square().sum(), leaves)
                for x in (rows, torch.stack(each))
            )
            assert all(
                torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(ours, plain, strict=True)
            )


# which modules, whose statistics


class Own(nn.BatchNorm2d):
    """A norm with a forward pass of its own, as libraries have them: this one adds an activation
    and holds a dropout."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Dropout(0.5)

    def forward(self, input: Tensor) -> Tensor:
        tracks = self.training and self.track_running_stats
        mean, var = (
            (self.running_mean, self.running_var) if tracks or not self.training else (None, None)
        )
        found = F.batch_norm(
            input, mean, var, self.weight, self.bias, self.training, self.momentum or 0.0, self.eps
        )
        return self.drop(found).relu()


class Same(nn.BatchNorm2d):
    """A norm that only has another name."""


def test_a_norm_with_a_forward_pass_of_its_own_keeps_it() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), Own(4))
    assert has_foreign_batch_norm(module)
    assert not has_foreign_batch_norm(
        nn.Sequential(Same(3), nn.BatchNorm1d(3), nn.SyncBatchNorm(3))
    )
    fresh = deepcopy(module)
    images = normal(50, 3, 8, 8)
    batch_statistics_only(module)
    expected = F.batch_norm(module[0](images), None, None, training=True).relu()
    assert torch.allclose(module(images), expected, atol=1e-5)
    buffers = population(module, images)
    assert (
        statistics_error(
            buffers, {f"1.{k}": v for k, v in plain_statistics(module[0](images).detach()).items()}
        )
        < 1e-5
    )
    assert not list(module.buffers()) and module[1].momentum == 0.1
    scored = with_population_statistics(fresh, {}, buffers)
    assert torch.allclose(scored(images), expected, atol=1e-5)


class Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(6, 6, num_layers=2, dropout=0.5, batch_first=True)
        self.norm = nn.BatchNorm1d(6, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.recurrent(F.dropout(x, 0.5, self.training))[0]
        return self.norm(hidden.mT) + self.training


def test_all_else_is_in_evaluation_mode() -> None:
    module = batch_statistics_only(Random())
    x = normal(300, 5, 6)
    assert torch.equal(module(x), module(x))
    outputs = module(x).detach()
    assert outputs.mean().abs() < 1e-6 and float(outputs.var(correction=0)) == pytest.approx(
        1, abs=1e-4
    )


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.alias = self.norm
        self.unused = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.alias(self.norm(self.first(x)).relu())


class Once(Twice):
    def forward(self, x: Tensor) -> Tensor:
        return self.alias(self.first(x))


@pytest.mark.parametrize("images", [20, 2000])
def test_a_norm_that_is_used_twice_is_refused(images: int) -> None:
    module = batch_statistics_only(Twice())
    with pytest.raises(
        UserError, match=r"batch norm 'norm' is used twice in one forward pass.*use two"
    ):
        population(module, normal(images, 4))
    assert module(normal(images, 4)).shape == (images, 4)  # and it is as it was before


def test_two_names_of_one_norm_and_one_that_is_not_used() -> None:
    module, x = Once(), normal(2000, 4)
    module.unused.running_mean += 3.0
    fresh = deepcopy(module)
    buffers = population(batch_statistics_only(module), x)
    assert set(buffers) == {"norm.running_mean", "norm.running_var"}
    scored = with_population_statistics(fresh, {}, buffers)
    assert torch.allclose(scored(x), module(x), atol=1e-5)
    assert torch.equal(scored.unused.running_mean, torch.full((4,), 3.0))


def test_norms_without_running_statistics_get_them() -> None:
    make = partial(nn.BatchNorm2d, 3, track_running_stats=False)
    images = normal(200, 3, 4, 4).contiguous(memory_format=LAST)
    module = batch_statistics_only(nn.Sequential(make()))
    scored = with_population_statistics(nn.Sequential(make()), {}, population(module, images))
    assert torch.allclose(scored(images), module(images), atol=1e-5)
    assert torch.allclose(scored(images[:1]), module(images)[:1], atol=1e-5)  # not the batch's own
    again = with_population_statistics(nn.Sequential(make()), {}, scored.state_dict())  # type: ignore[arg-type]
    assert torch.equal(again(images), scored(images))


def test_names_and_shapes_that_a_module_does_not_have_are_refused() -> None:
    for wrong in (
        {"1.weight": torch.ones(3)},
        {"0.weight": torch.ones(4)},
        {"0.running_means": torch.ones(3)},
    ):
        with pytest.raises(RuntimeError, match=next(iter(wrong)).replace(".", r"\.")):
            with_population_statistics(nn.Sequential(nn.BatchNorm2d(3)), wrong, {})


def test_one_value_a_channel_has_no_variance() -> None:
    with pytest.raises(UserError, match="sees one value of each"):
        batch_statistics_only(nn.BatchNorm1d(4))(normal(1, 4))


def test_statistics_of_many_batches_are_those_of_all_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first norm of a network sees what is normalised by no batch: there they are exact; 701
    images in unequal parts."""
    monkeypatch.setattr(batch_norm, "EXACT_IMAGES", 200)
    images = (normal(701, 3, 8, 8) + torch.arange(701).view(-1, 1, 1, 1) / 100).contiguous(
        memory_format=LAST
    )
    module = batch_statistics_only(nn.BatchNorm2d(3))
    assert statistics_error(population(module, images), plain_statistics(images)) < 1e-6


@pytest.mark.slow
def test_compiled_norms_sum_right_too() -> None:
    module = batch_statistics_only(nn.BatchNorm2d(16))
    images = normal(256, 16, 32, 32).add_(3).contiguous(memory_format=LAST)
    found = torch.compile(module)(images)
    expected = plainly_normalised(nn.BatchNorm2d(16).double(), images.double())
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
