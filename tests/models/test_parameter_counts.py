"""Every architecture has exactly the parameters it should, and they round to the number its paper
prints."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from sgdtheory.errors import UserError
from sgdtheory.models.cnn import CNN
from sgdtheory.models.densenet import DenseNet
from sgdtheory.models.gpt import GPT
from sgdtheory.models.linear import Linear
from sgdtheory.models.mlp import MLP
from sgdtheory.models.mobilenet import MobileNet, Separable
from sgdtheory.models.resnet import ResNet
from sgdtheory.models.vit import ViT

CIFAR, DIGITS = (3, 32, 32), (1, 8, 8)


def count(model: nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


@pytest.mark.parametrize(
    ("depth", "parameters", "millions"),
    [
        (20, 269_722, 0.27),
        (32, 464_154, 0.46),
        (44, 658_586, 0.66),
        (56, 853_018, 0.85),
        (110, 1_727_962, 1.7),
    ],
)
def test_resnet_of_table_6(depth: int, parameters: int, millions: float) -> None:
    found = count(ResNet(CIFAR, 10, depth))
    assert found == parameters
    assert round(found / 1e6, 1 if depth == 110 else 2) == millions


def test_separable_convolutions() -> None:
    """9C weights for the 3×3 and CC' for the 1×1, in the place of 9CC'; channels do not meet before
    they are mixed."""
    part = Separable(6, 10, stride=2).eval()
    assert count(part) == 9 * 6 + 2 * 6 + 6 * 10 + 2 * 10
    image = torch.zeros(1, 6, 8, 8)
    moved = image.clone()
    moved[:, 2] = 1.0
    with torch.no_grad():
        change = (part.spatial[0](moved) - part.spatial[0](image)).abs().amax((0, 2, 3))
        assert change.nonzero().flatten().tolist() == [2]
        assert part(moved).shape == (1, 10, 4, 4)
    assert count(MobileNet(DIGITS, 10)) == 3_322


@pytest.mark.parametrize(
    ("depth", "bottleneck", "compression", "classes", "parameters"),
    [
        (40, False, 1.0, 10, 1_019_722),
        (100, True, 0.5, 10, 769_162),
        (40, False, 1.0, 100, 1_060_132),
        (100, True, 0.5, 100, 800_032),
    ],
)
def test_densenet_of_table_2(
    depth: int, bottleneck: bool, compression: float, classes: int, parameters: int
) -> None:
    found = count(DenseNet(CIFAR, classes, depth, 12, bottleneck, compression))
    assert found == parameters
    if classes == 10:  # the paper prints one number for both data sets
        assert round(found / 1e6, 1) == (0.8 if bottleneck else 1.0)


@pytest.mark.parametrize(
    ("width", "depth", "parameters"),
    [
        (12, 1, 790_706),
        (24, 1, 1_578_074),
        (36, 1, 2_365_442),
        (48, 1, 3_152_810),
        (96, 1, 6_302_282),
        (48, 2, 851_258),
        (48, 3, 319_178),
        (12, 3, 60_698),
    ],
)
def test_cnn_of_draxler(width: int, depth: int, parameters: int) -> None:
    """Convolutions 25·C·w + w, batch norms 2·w, dense 256·w·(32/2^depth)² + 256, its batch norm
    512, head 2,570."""
    convolutions = 25 * (3 * width + (depth - 1) * width**2) + 3 * depth * width
    dense = 256 * width * (32 // 2**depth) ** 2 + 256 + 512 + 2_570
    assert count(CNN(CIFAR, 10, width, depth)) == parameters == convolutions + dense


def test_on_digits() -> None:
    assert count(MLP(DIGITS, 10)) == 3_466
    assert count(Linear(DIGITS, 10)) == 650
    assert count(ResNet(DIGITS, 10, depth=8, width=8, shortcut="conv")) == 19_810
    assert count(CNN(DIGITS, 10)) == 14_018
    assert count(DenseNet(DIGITS, 10, depth=10, growth=6)) == 13_714


@pytest.mark.parametrize("depth", [2, 9, 21, 57])
def test_resnet_refuses_a_depth_it_cannot_have(depth: int) -> None:
    with pytest.raises(UserError, match=r"6n \+ 2"):
        ResNet(CIFAR, 10, depth)


@pytest.mark.parametrize(
    ("depth", "bottleneck", "formula"), [(41, False, "3n"), (43, True, "6n"), (4, False, "3n")]
)
def test_densenet_refuses_a_depth_it_cannot_have(
    depth: int, bottleneck: bool, formula: str
) -> None:
    with pytest.raises(UserError, match=formula):
        DenseNet(CIFAR, 10, depth, bottleneck=bottleneck)


def test_densenet_refuses_images_it_cannot_halve_twice() -> None:
    with pytest.raises(UserError, match="2x2"):
        DenseNet((1, 2, 2), 10, 10)


def test_gpt2_small_has_its_124_million() -> None:
    with torch.device("meta"):
        model = GPT((1024,), 50257, layers=12, heads=12, width=768, tied=True)
    assert count(model) == 124_439_808


def test_vit_b_16_has_its_86_million() -> None:
    with torch.device("meta"):
        model = ViT((3, 224, 224), 1000, patch=16, layers=12, heads=12, width=768)
    assert count(model) == 86_567_656


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (lambda: GPT((3,), 24), 53_376),
        (lambda: GPT((3,), 24, tied=True), 53_376 - 24 * 64),
        (lambda: GPT((3,), 24, norm="rms"), 53_376 - 3 * 64),
        (lambda: ViT(DIGITS, 10), 26_538),
    ],
)
def test_small_transformers(model: Callable[[], nn.Module], parameters: int) -> None:
    assert count(model()) == parameters
