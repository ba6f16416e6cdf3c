"""The nearest name, by several measures."""

import pytest

from sgdtheory.errors import fold, nearest

MODELS = [
    "cnn",
    "densenet100bc",
    "densenet40",
    "linear",
    "mlp",
    "resnet110",
    "resnet20",
    "resnet32",
    "resnet8",
]
STUDIES = [
    "current",
    "epoch_noise",
    "free_energy",
    "saddles",
    "string_sampling",
    "width_and_barriers",
]


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("ResNet20", MODELS, "resnet20"),
        ("resnet-20", MODELS, "resnet20"),
        ("resnet_21", MODELS, "resnet20"),
        ("resnet9", MODELS, "resnet8"),
        ("resnet100", MODELS, "resnet110"),
        ("densnet40", MODELS, "densenet40"),
        ("dense", MODELS, "densenet100bc"),
        ("strng", STUDIES, "string_sampling"),
        ("barrier", STUDIES, "width_and_barriers"),
        ("free", STUDIES, "free_energy"),
        ("FreeEnergy", STUDIES, "free_energy"),
        ("sadles", STUDIES, "saddles"),
        ("cifar", ["cifar10", "cifar100", "digits"], "cifar10"),
    ],
)
def test_is_found(word: str, known: list[str], meant: str) -> None:
    assert nearest(word, known) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize("word", ["", "zzz", "0.5", "q"])
def test_is_empty_where_none_is_near(word: str) -> None:
    assert nearest(word, MODELS) == ""


def test_folding() -> None:
    assert fold("Fashion-MNIST_2") == "fashionmnist2"
