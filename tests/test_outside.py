"""What users bring along without touching this package: one importable file and one yaml a thing."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sgdtheory as package
from sgdtheory.errors import UserError
from tests.conftest import Command, Said

BOWL = '''
"""A landscape as the interface shows it."""
import torch


class Bowl:
    dim = 5

    def init(self, points, stream):
        return torch.randn(points, self.dim, generator=stream)

    def sample(self, points, size, stream):
        return torch.randn(points, self.dim, generator=stream) / size**0.5

    def losses(self, cloud, batch=None):
        losses = 0.5 * (cloud**2).sum(1)
        return losses if batch is None else losses + (cloud * batch.to(cloud)).sum(1)


class Examples:
    """The same bowl over a finite set of examples."""

    dim = 5
    count = 64

    def __init__(self, spread: float = 1.0):
        draws = torch.randn(self.count, self.dim, generator=torch.Generator().manual_seed(0))
        self.centres = spread * (draws - draws.mean(0))

    def init(self, points, stream):
        return torch.randn(points, self.dim, generator=stream)

    def batch(self, indices):
        return self.centres[indices]

    def losses(self, cloud, batch=None):
        centres = self.centres[None] if batch is None else batch
        return 0.5 * ((cloud[:, None] - centres.to(cloud)) ** 2).sum(2).mean(1)


class Diabetes:
    """Least squares on 442 patients: real data, and noise that grows with the cloud."""

    def __init__(self):
        from sklearn.datasets import load_diabetes

        x, y = (torch.from_numpy(array) for array in load_diabetes(return_X_y=True))
        self.x, self.y = x / x.std(0), (y - y.mean()) / y.std()
        self.count, self.dim = x.shape

    def init(self, points, stream):
        return torch.randn(points, self.dim, generator=stream)

    def batch(self, indices):
        return self.x[indices], self.y[indices]

    def losses(self, cloud, batch=None):
        x, y = (self.x[None], self.y[None]) if batch is None else batch
        left = (x.to(cloud) * cloud[:, None]).sum(2) - y.to(cloud)
        return 0.5 * (left**2).mean(1) + 0.05 * (cloud**2).sum(1)
'''
THINGS = '''
"""A model and a data set."""
import numpy as np
import torch
from torch import nn

from sgdtheory.data.images import Images
from sgdtheory.statistics.measured import Measured


class Mean(nn.Module):
    def __init__(self, shape, classes, scale: float = 1.0):
        super().__init__()
        self.head = nn.Linear(shape[0], classes)
        self.scale = scale

    def forward(self, images):
        return self.head(self.scale * images.mean((2, 3)))


def stripes(count: int = 32) -> Images:
    labels = np.arange(count) % 2
    pixels = np.zeros((count, 1, 6, 6), np.uint8)
    pixels[labels == 1, :, ::2] = 255
    return Images.from_arrays((pixels, labels), (pixels[:8], labels[:8]), 2, "stripes", "none", 4)


class Size:
    def __init__(self, power: int = 2):
        self.power = power

    def __call__(self, landscape, cloud):
        return [{"size": Measured(float(theta.norm()) ** self.power, 0.0)} for theta in cloud]


def make(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))
'''
YAMLS = {
    "landscape/bowl.yaml": "# a bowl\n_target_: my_package.bowl.Bowl\n",
    "landscape/examples.yaml": "# a bowl over examples\n_target_: "
    "my_package.bowl.Examples\nspread: 1.0\n",
    "landscape/diabetes.yaml": "# least squares\n_target_: my_package.bowl.Diabetes\n",
    "model/mean.yaml": "# the mean of the pixels\n_target_: "
    "my_package.things.Mean\n_partial_: true\nscale: 1.0\n",
    "diagnostic/size.yaml": "# @package diagnostic.size\n_target_: "
    "my_package.things.Size\npower: 2\n",
    "data/stripes.yaml": "# two classes\n_target_: my_package.things.stripes\ncount: 32\n",
}
OPTIONS = ("--config-dir", "conf", "--trust", "my_package", "executor.workers=1", "minima=2")


@pytest.fixture
def outside(sgdtheory: Command, tmp_path: Path) -> Iterator[Command]:
    """The command in a working directory where a user keeps a package and a folder of yamls."""
    (tmp_path / "my_package").mkdir()
    for name, text in (("__init__", ""), ("bowl", BOWL), ("things", THINGS)):
        (tmp_path / f"my_package/{name}.py").write_text(text, encoding="utf-8")
    for name, text in YAMLS.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    yield sgdtheory
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        del sys.modules[name]


def results(tmp_path: Path) -> dict[str, Any]:
    (found,) = tmp_path.glob("runs/*/*/results.json")
    return dict(json.loads(found.read_text(encoding="utf-8")))


def train(outside: Command, *words: str) -> Said:
    said = outside("train", *words, *OPTIONS)
    assert said.code == 0, said.err
    return said


def test_a_landscape_with_samples(outside: Command, tmp_path: Path) -> None:
    said = train(outside, "landscape=bowl", "sgd.steps=100")
    assert "2 minima of Bowl" in said.out
    found = results(tmp_path)
    assert (
        found["dim"] == 5 and found["landscape"] == "Bowl" and found["claims"][0]["holds"] is True
    )
    assert max(abs(row["objective"]) for row in found["minima"]) < 1e-10
    assert "already done" in train(outside, "landscape=bowl", "sgd.steps=100").err


@pytest.mark.parametrize("sampling", ["iid", "without_replacement", "epoch"])
def test_a_landscape_with_examples(sampling: str, outside: Command, tmp_path: Path) -> None:
    train(
        outside,
        "landscape=examples",
        "sgd.steps=40",
        "sgd.batch_size=16",
        f"sgd.sampling={sampling}",
        "landscape.spread=0.5",
    )
    found = results(tmp_path)
    assert max(row["gradient_norm"] for row in found["minima"]) < 1e-6


def test_its_temperature(outside: Command, tmp_path: Path) -> None:
    """T within 3 % on real data, without a line of ours touched."""
    words = (
        "sweep.learning_rate=[0.1]",
        "sweep.batch_size=[8,16]",
        "executor.workers=1",
        "threads=1",
    )
    said = outside("sweep-temperature", "landscape=diabetes", *OPTIONS[:4], *words)
    assert said.code == 0, said.err
    cells = results(tmp_path)["cells"]
    ratios = [cell["temperature"]["excess_loss"]["value"] / cell["predicted"] for cell in cells]
    errors = [cell["temperature"]["excess_loss"]["stderr"] / cell["predicted"] for cell in cells]
    assert all(cell["stationary"] and cell["harmonic"] for cell in cells)
    assert abs(sum(ratios) / 2 - 1) < 0.03 and max(errors) < 0.025
    assert all(abs(ratio - 1) < 3.3 * error for ratio, error in zip(ratios, errors, strict=True))


def test_its_parameters_are_checked_like_ours(outside: Command, tmp_path: Path) -> None:
    said = outside(
        "train", "landscape=examples", "landscape.spread=wide", "sgd.batch_size=65", *OPTIONS
    )
    assert said == (2, "", "landscape.spread: must be a valid number, not 'wide'\n")
    said = outside("train", "landscape=examples", "sgd.batch_size=65", *OPTIONS)
    assert said.code == 2 and "64 training examples" in said.err
    assert not (tmp_path / "runs").exists()


def test_a_landscape_with_samples_has_no_epochs(outside: Command, tmp_path: Path) -> None:
    said = outside("train", "landscape=bowl", "sgd.sampling=epoch", *OPTIONS)
    assert said.code == 2 and "sgd.sampling=epoch" in said.err
    assert not (tmp_path / "runs").exists()


def test_a_model(outside: Command, tmp_path: Path) -> None:
    train(outside, "model=mean", "model.scale=2", "sgd.steps=3")
    assert results(tmp_path)["dim"] == 20


def test_a_data_set(outside: Command, tmp_path: Path) -> None:
    train(outside, "model=linear", "data=stripes", "sgd.steps=20", "sgd.batch_size=8")
    assert [row["test_error"] for row in results(tmp_path)["minima"]] == [0, 0]


def test_a_diagnostic(outside: Command, tmp_path: Path) -> None:
    train(
        outside,
        "landscape=bowl",
        "sgd.steps=3",
        "polish=none",
        "diagnostic=size",
        "diagnostic.size.power=4",
    )
    for row in results(tmp_path)["minima"]:
        assert (
            row["size"] == pytest.approx(row["parameter_norm"] ** 4, rel=1e-5)
            and row["size_stderr"] == 0
        )
    said = outside(
        "train",
        "landscape=bowl",
        "diagnostic=[size]",
        "diagnostic.size._target_=my_package.bowl.Bowl",
        *OPTIONS,
    )
    assert said.code == 2 and "Bowl is no Diagnostic" in said.err


def test_a_factory_without_a_yaml(outside: Command, tmp_path: Path) -> None:
    train(outside, "model=custom", "model.factory=my_package.things:make", "sgd.steps=3")
    assert results(tmp_path)["dim"] == 650


def test_nothing_of_theirs_runs_without_trust(outside: Command, tmp_path: Path) -> None:
    (tmp_path / "my_package/bowl.py").write_text(
        "raise SystemError('this must not be imported')", encoding="utf-8"
    )
    said = outside("train", "landscape=bowl", "--config-dir", "conf")
    assert (
        said.code == 2
        and "'my_package.bowl.Bowl' is not trusted" in said.err
        and "--trust my_package" in said.err
    )
    assert not (tmp_path / "runs").exists()


def test_workers_trust_what_their_parent_does(outside: Command, tmp_path: Path) -> None:
    said = outside(
        "train", "landscape=bowl", "sgd.steps=10", *OPTIONS[:4], "executor.workers=2", "minima=2"
    )
    assert said.code == 0, said.err
    assert not list(tmp_path.glob("runs/*/*/log.txt")) or "Error" not in next(
        tmp_path.glob("runs/*/*/log.txt")
    ).read_text(encoding="utf-8")


@pytest.mark.skipif(not hasattr(package, "load"), reason="sgdtheory.load is not there yet")
def test_load_refuses_what_is_not_trusted(outside: Command, tmp_path: Path) -> None:
    train(outside, "landscape=bowl", "sgd.steps=10")
    (run,) = tmp_path.glob("runs/train/*")
    with pytest.raises(UserError, match="not trusted"):
        package.load(run)
    loaded = package.load(run, trust=["my_package"])
    assert loaded.minima.shape == (2, 5)
    assert loaded.landscape.losses(loaded.minima).shape == (2,)
