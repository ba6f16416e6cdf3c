"""Runs that Python leaves behind: whatever opens a run opens them, and commands go on from them."""

import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

import sgdtheory as package
from sgdtheory.errors import UserError
from sgdtheory.landscapes.network import Network
from sgdtheory.rng import stream
from tests.conftest import Command

MODULE = '''
"""A user's networks."""
import torch
from torch import nn


def net():
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(5))
        self.first, self.last = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x * self.scale)))


class Wide(Net):
    def __init__(self, width=4):
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)


def distance(outputs, targets):
    return (outputs - nn.functional.one_hot(targets, 3)).square().sum(1)
'''
DRAWS = stream(0, "from python")
X, Y = torch.randn(60, 5, generator=DRAWS), torch.arange(60) % 3
SPLIT, TEST = (X[:45], Y[:45]), (X[45:], Y[45:])
QUICK = ["autoneb.steps=4", "autoneb.last_steps=4", "baselines.gradients=4", "baselines.dense=3"]
SWEEP = ["sweep.learning_rate=[0.1]", "sweep.batch_size=[8]", "sgd.steps=3000", "replicas=4"]
SWEEP += ["precision=0.5"]
ALONE = ["executor.workers=1"]


@pytest.fixture
def mine(
    sgdtheory: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """A module of the user's, in the working directory and imported from there."""
    (tmp_path / "mynets.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield importlib.import_module("mynets")
    del sys.modules["mynets"]


def ends_of(landscape: Network) -> torch.Tensor:
    return landscape.init(2, stream(0, "ends"))


def joined(landscape: Network, run: Path) -> None:
    ends = ends_of(landscape)
    package.connect(landscape, ends[0], ends[1], QUICK, run=run)


def test_commands_go_on_from_it(sgdtheory: Command, mine: ModuleType, tmp_path: Path) -> None:
    own = package.landscape(mine.net, SPLIT, TEST, weight_decay=0.3)
    run = Path("runs/own")
    joined(own, run)
    ends = ends_of(own)
    loaded = package.load(run, trust="mynets")
    assert torch.equal(loaded.minima, ends)
    assert torch.equal(loaded.landscape.losses(ends), own.losses(ends))
    precise = ends.double()  # in float32 the last bit depends on where in memory examples lie
    scores = [landscape.score(precise, "test").losses for landscape in (loaded.landscape, own)]
    assert torch.allclose(*scores, rtol=0, atol=1e-14)
    assert list(loaded.paths) == [(0, 1)]
    for words in (["report"], ["status"]):
        said = sgdtheory(*words, str(run))
        assert said.code == 0 and "own" in said.out, said
    assert package.table(run)["status"].to_list() == ["done"]
    refused = sgdtheory("connect", f"minima={run}", *QUICK)
    assert refused.code == 2 and "add --trust mynets" in refused.err
    again = sgdtheory("connect", f"minima={run}", *QUICK, "plane=0", "--trust", "mynets")
    assert again.code == 0, again.err
    (results,) = tmp_path.glob("runs/connect/*/results.json")
    edges = json.loads(results.read_text(encoding="utf-8"))["edges"]
    assert edges == json.loads((run / "results.json").read_text(encoding="utf-8"))["edges"]


CALLS: dict[str, Callable[[Network, Path], object]] = {
    "connect": joined,
    "sweep-temperature": lambda own, run: package.sweep_temperature(
        own, ends_of(own)[0], [0.1], [8], [*SWEEP[2:], "estimator=[excess_loss]"], run=run
    ),
    "diagnose": lambda own, run: package.diagnose(
        own, ends_of(own), ["noise", "sharpness"], run=run
    ),
}


def without_seconds(run: Path) -> dict[str, object]:
    results: dict[str, object] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return {key: value for key, value in results.items() if key != "seconds"}


@pytest.mark.parametrize("command", CALLS)
def test_a_command_from_its_file_gives_the_same_bits(
    sgdtheory: Command, mine: ModuleType, tmp_path: Path, command: str
) -> None:
    own = package.landscape(mine.net, SPLIT, TEST, weight_decay=0.3)
    CALLS[command](own, Path("first/own"))
    moved = shutil.move(tmp_path / "first", tmp_path / "moved") / "own"
    said = sgdtheory(command, "--from", str(moved / "config.yaml"), "--trust", "mynets", *ALONE)
    assert said.code == 0, said.err
    (found,) = tmp_path.glob(f"runs/{command}/*/results.json")
    assert without_seconds(found.parent) == without_seconds(moved)
    paths = [path.relative_to(moved) for path in moved.glob("**/*.safetensors")]
    kept = [path for path in paths if path.parts[0] in ("minima.safetensors", "paths")]
    assert kept
    for path in kept:
        assert (found.parent / path).read_bytes() == (moved / path).read_bytes()


@pytest.mark.slow
def test_a_temperature_is_swept_from_it(
    sgdtheory: Command, mine: ModuleType, tmp_path: Path
) -> None:
    centres = 4 * torch.eye(3, 5)[Y[:45]]  # three classes apart: a minimum that is no zero
    own = package.landscape(mine.net, (X[:45] + centres, Y[:45]), weight_decay=0.03)
    package.diagnose(own, own.init(1, stream(0, "start")), run="runs/own")
    swept = sgdtheory("sweep-temperature", "minima=runs/own", *SWEEP, *ALONE, "--trust", "mynets")
    assert swept.code == 0, swept.err
    (results,) = tmp_path.glob("runs/sweep-temperature/*/results.json")
    (cell,) = json.loads(results.read_text(encoding="utf-8"))["cells"]
    assert cell["temperature"]["excess_loss"]["value"] > 0


def test_it_may_be_moved_and_is_known_again(
    sgdtheory: Command, mine: ModuleType, tmp_path: Path
) -> None:
    own = package.landscape(mine.net, SPLIT)  # no test set
    joined(own, tmp_path / "runs" / "own")
    stamp = (tmp_path / "runs/own/results.json").stat().st_mtime_ns
    joined(own, tmp_path / "runs" / "own")
    assert (tmp_path / "runs/own/results.json").stat().st_mtime_ns == stamp
    other = package.landscape(mine.net, (X[:45] + 1, Y[:45]))
    with pytest.raises(UserError, match="holds another run"):
        joined(other, tmp_path / "runs" / "own")
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / "own"
    loaded = package.load(moved, trust=["mynets"])
    assert torch.equal(loaded.landscape.losses(loaded.minima), own.losses(loaded.minima))
    said = sgdtheory("diagnose", f"minima={moved}", "--trust", "mynets")
    assert said.code == 0, said.err
    content = bytearray((moved / "examples.safetensors").read_bytes())
    content[-1] ^= 1  # a label
    (moved / "examples.safetensors").write_bytes(bytes(content))
    with pytest.raises(UserError, match="have been changed since"):
        package.load(moved, trust=["mynets"])


def test_a_module_and_its_buffers_are_said_by_its_class(
    sgdtheory: Command, mine: ModuleType, tmp_path: Path
) -> None:
    module = mine.Net()
    module.scale.fill_(2.0)
    own = package.landscape(module, SPLIT, TEST, loss=mine.distance)
    run = tmp_path / "own"
    package.diagnose(own, [module], run=run)
    loaded = package.load(run, trust=["mynets"])
    theta = own.vector(module)[None]
    assert torch.equal(loaded.landscape.losses(theta), own.losses(theta))
    said = sgdtheory("diagnose", f"minima={run}", "--trust", "mynets", "dtype=float64")
    assert said.code == 0, said.err
    (results,) = (tmp_path / "runs" / "diagnose").glob("*/results.json")
    (row,) = json.loads(results.read_text(encoding="utf-8"))["minima"]
    assert row["objective"] == pytest.approx(float(own.losses(theta.double())), rel=1e-6)


def local_function() -> object:
    return lambda: nn.Linear(5, 3)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("closure", "made by local_function.<locals>.<lambda>, which cannot be imported"),
        ("instance", "Sequential by itself makes another network; give sgdtheory.landscape"),
        ("arguments", "mynets:Wide by itself makes another network; give sgdtheory.landscape"),
        ("loss", "its loss is no function that can be imported by its name"),
    ],
)
def test_what_cannot_be_said_says_why(
    sgdtheory: Command, mine: ModuleType, tmp_path: Path, kind: str, why: str
) -> None:
    things = {
        "closure": local_function(),
        "instance": mine.net(),
        "arguments": mine.Wide(7),
        "loss": mine.net,
    }
    loss = (lambda o, t: (o[:, 0] - t).square()) if kind == "loss" else "cross_entropy"
    own = package.landscape(things[kind], SPLIT, TEST, loss=loss)  # type: ignore[arg-type]
    run = tmp_path / "runs" / "own"
    package.diagnose(own, own.init(2, stream(0, "ends")), run=run)
    assert not (run / "examples.safetensors").exists()
    assert not (run / "given_points.safetensors").exists()
    for words in (["connect"], ["sweep-temperature", *SWEEP]):
        said = sgdtheory(*words, f"minima={run}", "--trust", "mynets")
        assert said.code == 2 and len(said.err.splitlines()) == 1, said
        assert "was made from Python" in said.err and re.search(why, said.err), said
    for words in (["report"], ["status"]):
        assert sgdtheory(*words, str(run)).code == 0
    loaded = package.load(run)
    assert loaded.minima.shape == (2, own.dim) and len(loaded.results["minima"]) == 2
    with pytest.raises(UserError, match=why):
        _ = loaded.landscape
    assert package.table(run)["status"].to_list() == ["done"]
