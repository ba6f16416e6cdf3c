"""An edge asks for each score once, whichever way between its minima a point is on."""

import ast
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

import sgdtheory.paths
from sgdtheory.data.digits import digits
from sgdtheory.landscapes.derived import scored_once as room
from sgdtheory.landscapes.derived.scored_once import scored_once
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.baselines import Baselines
from sgdtheory.paths.edge import join
from sgdtheory.paths.presets import fast
from sgdtheory.paths.search import PathMethod
from sgdtheory.paths.strings import Strings
from sgdtheory.rng import stream
from sgdtheory.roles.examples import Score, Split, is_scored, network_of
from sgdtheory.runs.unit import Unit, UnitFolder

SMALL = Baselines(gradients=4, dense=5)
METHODS = {
    # two attempts, so that the path of the first is looked at again
    "autoneb": fast(steps=6, last_steps=8, multiples=(1.0, 2.0), enough=0.0, retries=0),
    "string_sampling": Strings(above=0.3, steps=40),
}
POLYLINE = "sgdtheory.paths.polyline"


class Asked(Counter[tuple[bytes, Split]]):
    """How often each point was scored on each split."""

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        score = Network.score

        def counted(
            landscape: Network,
            cloud: Tensor,
            split: Split,
            buffers: dict[str, Tensor] | None = None,
        ) -> Score:
            if buffers is None:
                self.update((theta.numpy().tobytes(), split) for theta in cloud)
            return score(landscape, cloud, split, buffers)

        monkeypatch.setattr(Network, "score", counted)


def network() -> tuple[Network, Tensor]:
    """A small MLP on digits, and two points that were trained a little [2, n]."""
    landscape = Network(partial(MLP, hidden=(8,)), digits(test_share=0.8))
    start = landscape.init(2, stream(0, "init"))
    *_, trained = SGD(60, 32, 0.1, Constant(), 0.9).run(landscape, start, 0)
    return landscape, trained.cloud


def unit(path: Path) -> UnitFolder:
    path.mkdir(exist_ok=True)
    return UnitFolder(path, Unit("edge", {}))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_points_asked_are_distinct_points(
    method: PathMethod, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    landscape, ends = network()
    asked = Asked()
    asked.watch(monkeypatch)
    row, _ = join(landscape, method, SMALL, ends, 0, unit(tmp_path))
    assert row["path"]["evaluations"] > 50 and row["linear"] and row["aligned"] and row["chain"]
    assert sum(asked.values()) == len(asked) > 50


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_without_a_memory_points_are_asked_for_again(
    method: PathMethod, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the memory is for; and the numbers are the same without it."""
    landscape, ends = network()
    with_memory, _ = join(landscape, method, SMALL, ends, 0, unit(tmp_path / "with"))
    asked = Asked()
    asked.watch(monkeypatch)
    monkeypatch.setattr(room, "MOST_BYTES", 0)
    row, _ = join(landscape, method, SMALL, ends, 0, unit(tmp_path / "without"))
    assert sum(asked.values()) > 1.1 * len(asked)
    assert row == with_memory


def test_scores_are_those_of_the_landscape_to_the_bit() -> None:
    """Of batch norm too; with other statistics, or where the memory is full, they are asked for."""
    landscape = Network(partial(ResNet, depth=8, width=2), digits(test_share=0.97))
    remembered = scored_once(landscape)
    assert is_scored(remembered) and scored_once(remembered) is remembered
    cloud = landscape.init(3, stream(0, "init"))
    for _ in range(2):
        for split in ("train", "test"):
            for own, kept in zip(
                landscape.score(cloud, split), remembered.score(cloud, split), strict=True
            ):
                assert torch.equal(own, kept)
    zeros = {name: torch.zeros_like(x) for name, x in landscape.statistics(cloud[0]).items()}
    other = network_of(remembered).score(cloud[:1], "test", zeros)
    assert not torch.equal(other.losses, remembered.score(cloud[:1], "test").losses)
    assert torch.equal(other.losses, landscape.score(cloud[:1], "test", zeros).losses)


def test_a_formula_has_no_scores_to_remember() -> None:
    well = DoubleWell()
    assert scored_once(well) is well


def test_an_edge_enters_the_room_of_polylines_from_four_others_at_most() -> None:
    """And what only measures an edge from none: geometry is asked of the path that was found."""
    folder = Path(sgdtheory.paths.__file__).parent
    walk, left = set(), ["edge", "autoneb", "strings"]
    while left:
        name = left.pop()
        if name in walk or not (folder / f"{name}.py").exists():
            continue
        walk.add(name)
        left += [other.rpartition(".")[2] for other in imported_by(folder / f"{name}.py")]
    entering = {name for name in walk if POLYLINE in imported_by(folder / f"{name}.py")}
    assert "path" in entering and len(entering) <= 4
    assert not entering & {"edge", "baselines", "ensembling", "saddle_index", "autoneb_search"}


def imported_by(file: Path) -> set[str]:
    """The modules of `paths` that a file imports."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name for name in names if name.startswith("sgdtheory.paths.")}
