"""Write the rows of Draxler et al. 2018 (1803.00885) as experiments, models × data; each is opened
by the command in its second line, and takes the optimiser from `experiment/draxler.yaml`."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

EXPERIMENTS = Path(__file__).resolve().parents[1] / "configs/experiment"


class Model(NamedTuple):
    """A network of the paper: its name in a row's name, in words, its choice, what it changes."""

    name: str
    words: str
    choice: str
    values: Mapping[str, int] = MappingProxyType({})
    base: str = "draxler"


def cnn(name: str, width: int, depth: int = 1) -> Model:
    words = f"CNN {width}" if depth == 1 else f"CNN {width}×{depth}"
    return Model(name, words, "cnn", {"width": width, "depth": depth})


WIDE = [cnn(f"cnn{width}", width) for width in (12, 24, 36, 48, 96)]
DEEP = [cnn(f"cnn48x{depth}", 48, depth) for depth in (2, 3)]
RESNETS = [
    Model(f"resnet{depth}", f"ResNet-{depth}", f"resnet{depth}") for depth in (20, 32, 44, 56)
]
DENSENETS = [
    Model("densenet40", "DenseNet-40-12", "densenet40", base="draxler_densenet"),
    Model("densenet100bc", "DenseNet-100-12-BC", "densenet100bc", base="draxler_densenet"),
]
MODELS = [*WIDE, *DEEP, *RESNETS, *DENSENETS]
DATA = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}


def row(model: Model, data: str) -> tuple[str, str]:
    """The name of a row's experiment, and its yaml."""
    name = f"draxler_{model.name}_{data}"
    lines = [
        "# @package _global_",
        f"# sgdtheory train experiment={name}",
        f"# {model.words} on {DATA[data]}, as in Draxler et al. 2018; written by scripts/paper.py",
        "defaults:",
        f"  - {model.base}",
        f"  - override /model: {model.choice}",
        f"  - override /data: {data}",
    ]
    if model.values:
        lines += ["model:", *(f"  {key}: {value}" for key, value in model.values.items())]
    return name, "\n".join(lines) + "\n"


def rows() -> dict[str, str]:
    return dict(row(model, data) for model, data in product(MODELS, DATA))


if __name__ == "__main__":
    for name, text in rows().items():
        (EXPERIMENTS / f"{name}.yaml").write_text(text, encoding="utf-8")
