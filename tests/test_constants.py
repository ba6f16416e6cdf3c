"""What a network computes with and does not train: read from files, kept in runs, part of what a run is known by."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

import sgdtheory
from sgdtheory.data.digits import digits
from tests.conftest import Command, Said, call

NETS = """
import torch
from torch import nn

class Fourier(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("B", torch.randn(64, 24) / 8)
        self.head = nn.Linear(48, 10)

    def forward(self, x):
        z = x.flatten(1) @ self.B
        return self.head(torch.cat([z.sin(), z.cos()], 1))

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(64, 16), nn.Linear(64, 16, bias=False)
        self.out.weight = self.into.weight
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(torch.relu(self.into(x.flatten(1)) + self.out(x.flatten(1).flip(1))))

class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(64, 16), nn.Linear(16, 10)
        self.body.requires_grad_(False)

    def forward(self, x):
        return self.head(torch.relu(self.body(x.flatten(1))))

def fourier(shape, classes): return Fourier()
def tied(shape, classes): return Tied()
def frozen(shape, classes): return Frozen()
"""
DATA = digits(0.9)


def words(name: str) -> list[str]:
    return [
        "model=custom", f"model.factory=strange_nets:{name}", "--trust", "strange_nets", "data.test_share=0.9", "run.root=runs",
        "executor.workers=1",
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, sgdtheory: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The user's own module, in the working directory."""
    import importlib
    import sys

    (tmp_path / "strange_nets.py").write_text(NETS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("strange_nets", None)
    yield importlib.import_module("strange_nets")
    sys.modules.pop("strange_nets", None)


def seeded(factory: Any, seed: int) -> nn.Module:
    """A network of somebody else's: drawn elsewhere, in another order."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(torch.Generator().manual_seed(seed).get_state())
        found: nn.Module = factory((1, 8, 8), 10)
    with torch.no_grad():
        found.head.weight.mul_(10)  # type: ignore[operator,union-attr]  # far from ln K
    return found


def plain_loss(module: nn.Module) -> float:
    """Mean cross-entropy of the training images, in plain code."""
    with torch.no_grad():
        outputs = module.eval()(DATA.scaled(DATA.train_inputs, torch.float32)).double()
        return float(F.cross_entropy(outputs, DATA.train_targets))


def only(command: str) -> Path:
    (path,) = Path("runs", command).iterdir()
    return path


def results(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "results.json").read_text(encoding="utf-8"))
    return found


def diagnosed(name: str, *files: str) -> Said:
    return call("diagnose", *words(name), f"minima=[{','.join(files)}]")


@pytest.mark.parametrize("name", ["fourier", "frozen"])
def test_a_checkpoint_brings_its_constants(name: str, nets: Any) -> None:
    module = seeded(getattr(nets, name), 5)
    torch.save(module.state_dict(), "a.pt")
    told = diagnosed(name, "a.pt")
    assert told.code == 0, told
    row = results(only("diagnose"))["minima"][0]
    assert row["train_loss"] == pytest.approx(plain_loss(module), rel=1e-6)
    loaded = sgdtheory.load(only("diagnose"), trust=["strange_nets"])
    assert plain_loss(loaded.landscape.model_at(loaded.minima[0])) == pytest.approx(
        plain_loss(module), rel=1e-6
    )


def test_without_the_files_constants_it_would_be_another_loss(nets: Any) -> None:
    """The check of the check: the same weights beside the landscape's own buffer score otherwise."""
    module = seeded(nets.fourier, 5)
    torch.save({name: x for name, x in module.state_dict().items() if name != "B"}, "bare.pt")
    refused = diagnosed("fourier", "bare.pt")
    assert refused.code == 2 and "it lacks B" in refused.err and len(refused.err.splitlines()) == 1
    told = call("diagnose", *words("fourier"), "minima=bare.pt", "checkpoint.strict=false")
    assert told.code == 0 and "B not there, the model's own taken" in told.err
    assert abs(results(only("diagnose"))["minima"][0]["train_loss"] - plain_loss(module)) > 0.1


def test_constants_are_part_of_what_a_run_is_known_by(nets: Any) -> None:
    """The same weights beside two buffers: two runs, and two units."""
    one = {**seeded(nets.fourier, 5).state_dict()}
    torch.save(one, "one.pt")
    torch.save({**one, "B": one["B"] + 1}, "two.pt")
    torch.save({"net": {f"module.{name}": x for name, x in one.items()}}, "again.pt")
    assert diagnosed("fourier", "one.pt").code == diagnosed("fourier", "two.pt").code == 0
    losses = {results(path)["minima"][0]["train_loss"] for path in Path("runs/diagnose").iterdir()}
    assert len(losses) == 2 and len(list(Path("runs/units").iterdir())) == 2
    assert "already done" in diagnosed("fourier", "again.pt").err


def test_points_of_one_landscape_share_their_constants(nets: Any) -> None:
    for seed in (5, 6):
        torch.save(seeded(nets.fourier, seed).state_dict(), f"{seed}.pt")
    told = diagnosed("fourier", "5.pt", "6.pt")
    assert (
        told.code == 2
        and told.err.startswith("B in 6.pt is another than in 5.pt")
        and len(told.err.splitlines()) == 1
    )
    assert not Path("runs").exists()


def test_a_run_keeps_its_constants(nets: Any) -> None:
    """train, connect from it, and connect from files that have others: each finds its own again, in a copy elsewhere too."""
    assert call("train", *words("fourier"), "sgd.steps=20", "minima=2").code == 0
    own = load_file(only("train") / "minima.safetensors")["constants.B"]
    assert torch.equal(
        sgdtheory.load(only("train"), trust=["strange_nets"]).landscape.constants["B"], own
    )
    few = [
        "autoneb.steps=10",
        "autoneb.last_steps=10",
        "baselines.gradients=10",
        "baselines.dense=3",
    ]
    assert (
        call(
            "connect", "--trust", "strange_nets", f"minima={only('train')}", *few, "run.root=runs"
        ).code
        == 0
    )
    connected = only("connect")
    assert torch.equal(load_file(connected / "minima.safetensors")["constants.B"], own)
    shutil.rmtree(connected)
    for seed in (5, 6):
        torch.save({**seeded(nets.fourier, seed).state_dict(), "B": own + 1}, f"{seed}.pt")
    assert call("connect", *words("fourier"), "minima=[5.pt,6.pt]", *few).code == 0
    ends = results(only("connect"))["minima"]
    shutil.move(only("connect"), "elsewhere")
    shutil.rmtree("runs")
    Path("5.pt").unlink()
    loaded = sgdtheory.load("elsewhere", trust=["strange_nets"])
    assert torch.equal(loaded.landscape.constants["B"], own + 1)
    module = loaded.landscape.model_at(loaded.minima[0])
    assert plain_loss(module) == pytest.approx(ends[0]["train_loss"], rel=1e-5)


@pytest.mark.parametrize("kept", ["both", "first", "second"])
def test_tied_parameters_have_either_name_or_both(kept: str, nets: Any) -> None:
    module = seeded(nets.tied, 5)
    dropped = {"both": "", "first": "out.weight", "second": "into.weight"}[kept]
    torch.save(
        {name: x.clone() for name, x in module.state_dict().items() if name != dropped}, "a.pt"
    )
    assert diagnosed("tied", "a.pt").code == 0
    assert results(only("diagnose"))["minima"][0]["train_loss"] == pytest.approx(
        plain_loss(module), rel=1e-6
    )


def test_tied_parameters_that_differ_are_refused(nets: Any) -> None:
    held: dict[str, Tensor] = seeded(nets.tied, 5).state_dict()
    torch.save({**held, "out.weight": held["out.weight"] + 1}, "a.pt")
    told = diagnosed("tied", "a.pt")
    assert told.code == 2 and "into.weight and out.weight are one parameter" in told.err
