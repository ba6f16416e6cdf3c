"""A working directory that has whatever the command lines of the pages name, so that each can be
run as it stands, or with --dry-run."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from sgdtheory.models.resnet import ResNet
from sgdtheory.pipelines.checkpoints.files import SUFFIXES
from tests.conftest import Said, call

PIPELINES = ("train", "connect", "diagnose", "sweep-temperature", "study")
PRINTS = ("--cfg", "--help", "--info")  # what ends a command before anything is done
OWN = """
from torch import nn


def net(shape, classes):
    channels, height, width = shape
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))
"""


class Split(NamedTuple):
    """What is read of a split of torchvision's."""

    data: np.ndarray
    targets: list[int]


def stock(folder: Path) -> None:
    """Networks and weights, tables, texts, pictures."""
    (folder / "mypkg").mkdir()
    (folder / "mypkg/nets.py").write_text(OWN, encoding="utf-8")
    for name in ("a.safetensors", "b.pt"):
        write(folder / name, nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    for name in ("a.pt", "b.safetensors", "best.ckpt"):
        write(folder / name, ResNet((1, 8, 8), 10, 20))
    houses = [f"{40 + i},{i % 7},{300 + 5 * i + i % 3}" for i in range(200)]
    (folder / "houses.csv").write_text("\n".join(["area,rooms,price", *houses]), encoding="utf-8")
    (folder / "book.txt").write_text("It was the best of times. " * 500, encoding="utf-8")
    for split in ("train", "test"):
        for colour, kind in ((40, "dark"), (200, "light")):
            pictures(folder / as_named("…") / split / kind, colour)


def as_named(words: str) -> str:
    """What names a file, or is a word of a command, in a locale that cannot spell it too."""
    return os.fsdecode(words.encode("utf-8"))


def stock_runs(folder: Path) -> None:
    """Finished runs of `train` in the working directory, the last of them RUN."""
    for model in ("resnet8", "mlp"):
        said = call("train", f"model={model}", "minima=2", "sgd.steps=2", "executor.workers=1")
        assert said.code == 0, said.err
    (run,) = (folder / "runs/train").glob("mlp-*")
    (folder / "RUN").symlink_to(run)
    shutil.copy2(run / "config.yaml", folder / "config.yaml")


def write(file: Path, module: nn.Module) -> None:
    assert file.suffix in SUFFIXES
    weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    if file.suffix == ".safetensors":
        save_file(weights, file)
    else:
        torch.save(weights, file)


def pictures(folder: Path, colour: int) -> None:
    folder.mkdir(parents=True)
    for number in range(80):
        pixels = np.full((8, 8), colour + number // 2, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def small_sets(patch: pytest.MonkeyPatch) -> None:
    """In the place of what torchvision downloads: a few images of the same shape."""
    from torchvision import datasets

    for name, shape, classes in (
        ("CIFAR10", (32, 32, 3), 10),
        ("CIFAR100", (32, 32, 3), 100),
        ("MNIST", (28, 28), 10),
        ("FashionMNIST", (28, 28), 10),
    ):
        pixels = np.random.default_rng(0).integers(0, 256, (2 * classes + 110, *shape), np.uint8)
        split = Split(pixels, [i % classes for i in range(len(pixels))])
        patch.setattr(datasets, name, lambda *_, found=split, **__: found)


def is_pipeline(words: list[str]) -> bool:
    """Whether a command builds something: `sgdtheory study` alone is a list."""
    return words[:1] != [] and words[0] in PIPELINES and words != ["study"]


def dry(words: list[str]) -> Said:
    """A command as it stands, but that a pipeline only says what it would do."""
    if is_pipeline(words) and not set(PRINTS) & set(words):
        return call(*words, "--dry-run")
    return call(*words)
