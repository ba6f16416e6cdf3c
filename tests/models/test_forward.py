"""What networks compute: shapes, gradients that reach every parameter, and shortcuts against plain
twins."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sgdtheory.models.cnn import CNN
from sgdtheory.models.densenet import DenseNet
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import Block, PadShortcut, ResNet
from sgdtheory.rng import stream

MODELS: dict[str, Callable[[tuple[int, int, int]], nn.Module]] = {
    "mlp": lambda shape: MLP(shape, 7),
    "linear": lambda shape: Linear(shape, 7),
    "cnn": lambda shape: CNN(shape, 7),
    "cnn_deep": lambda shape: CNN(shape, 7, width=4, depth=5, dense=8),
    "resnet_pad": lambda shape: ResNet(shape, 7, 8, 4),
    "resnet_conv": lambda shape: ResNet(shape, 7, 8, 4, "conv"),
    "densenet": lambda shape: DenseNet(shape, 7, 10, 6),
    "densenet_bc": lambda shape: DenseNet(shape, 7, 16, 4, bottleneck=True, compression=0.5),
}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (2, 9, 7)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_images_become_logits_and_every_parameter_matters(
    name: str, shape: tuple[int, int, int]
) -> None:
    model = MODELS[name](shape)
    logits = model(torch.randn(4, *shape, generator=stream(0, "images")))
    assert logits.shape == (4, 7)
    gradients = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)


def rows(model: MLP, points: int) -> dict[str, Tensor]:
    return {
        name: torch.randn(points, *weights.shape, dtype=torch.float64, generator=stream(1, name))
        for name, weights in model.named_parameters()
    }


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        MLP((2, 3, 4), 5, (6, 7), "relu"),
        MLP((2, 3, 4), 5, (6,), "tanh"),
        MLP((2, 3, 4), 5, (3, 3), "sigmoid"),
        Linear((2, 3, 4), 5),
    ],
    ids=["relu", "tanh", "sigmoid", "linear"],
)
def test_rows_are_the_networks_one_by_one(model: MLP, shared: bool) -> None:
    """Logits and gradients of forward_rows equal functional_call's, row by row."""
    model, points = model.double(), 3
    weights = {name: w.requires_grad_() for name, w in rows(model, points).items()}
    images = torch.randn(
        1 if shared else points, 9, 2, 3, 4, dtype=torch.float64, generator=stream(2)
    )
    together = model.forward_rows(weights, images)
    assert together.shape == (points, 9, 5)
    gradients = torch.autograd.grad(together.square().sum(), list(weights.values()))
    for p in range(points):
        alone = {name: w[p].detach().requires_grad_() for name, w in weights.items()}
        logits = torch.func.functional_call(model, alone, images[0 if shared else p])
        torch.testing.assert_close(together[p], logits, rtol=1e-12, atol=1e-12)
        for gradient, expected in zip(
            gradients, torch.autograd.grad(logits.square().sum(), list(alone.values())), strict=True
        ):
            torch.testing.assert_close(gradient[p], expected, rtol=1e-12, atol=1e-12)


def test_mlp_is_what_its_docstring_says() -> None:
    model = MLP((1, 2, 2), 3, (5,), "tanh").double()
    w0, b0, w1, b1 = model.parameters()
    x = torch.randn(6, 1, 2, 2, dtype=torch.float64, generator=stream(3))
    expected = torch.tanh(x.reshape(6, 4) @ w0.T + b0) @ w1.T + b1
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)


def test_hidden_layers_have_the_stated_widths() -> None:
    shapes = [
        tuple(w.shape)
        for name, w in MLP((1, 8, 8), 10, (32, 16)).named_parameters()
        if "weight" in name
    ]
    assert shapes == [(32, 64), (16, 32), (10, 16)]


def test_pad_shortcut_takes_every_second_pixel_and_adds_empty_channels() -> None:
    x = torch.arange(2 * 3 * 5 * 4.0).reshape(2, 3, 5, 4)
    short = PadShortcut(3)(x)
    assert short.shape == (2, 6, 3, 2)
    assert torch.equal(short[:, :3], x[:, :, [0, 2, 4]][..., [0, 2]])
    assert not short[:, 3:].any()


def test_a_block_without_residual_is_its_shortcut() -> None:
    model = ResNet((1, 8, 8), 10, 8, 4)
    block = model.blocks[1]
    assert isinstance(block, Block)
    nn.init.zeros_(next(block.residual[-1].parameters()))  # the last batch norm
    x = torch.randn(2, 4, 8, 8, generator=stream(4)).relu()
    torch.testing.assert_close(block(x), PadShortcut(4)(x), rtol=0, atol=0)


def test_dense_layers_keep_what_they_read() -> None:
    model = DenseNet((1, 8, 8), 10, 10, 6)
    x = torch.randn(2, 16, 8, 8, generator=stream(5))
    y = model.features[1](x)
    assert y.shape == (2, 22, 8, 8)
    assert torch.equal(y[:, :16], x)


@pytest.mark.parametrize(
    "model",
    [ResNet((3, 32, 32), 10, 20), DenseNet((3, 32, 32), 10, 16, 12)],
    ids=["resnet", "densenet"],
)
def test_convolutions_start_as_he_says(model: nn.Module) -> None:
    """Var w · k²·channels out / 2 is 1 within four standard errors √(2/n)."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            ratio = part.weight.var() * part.kernel_size[0] ** 2 * part.out_channels / 2
            assert abs(ratio - 1) < 4.5 * (2 / part.weight.numel()) ** 0.5
