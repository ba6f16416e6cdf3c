"""The star and the triangles of a graph of minima, end to end."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.paths.baselines import symmetry_of
from sgdtheory.paths.graph import Pair
from sgdtheory.pipelines.star import centre_of
from sgdtheory.rng import stream

QUICK = ["autoneb.steps=2", "autoneb.last_steps=2", "baselines.gradients=2"]
WORDS = [*QUICK, "baselines.dense=5", "plane=0", "examples=100", "executor.workers=1", "--quiet"]


def test_the_centre_is_the_fewest_edges_away() -> None:
    way: list[Pair] = [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert centre_of(dict.fromkeys(range(5), 0.0), way) == 2
    even = dict(zip(range(4), (0.0, 0.3, 0.2, 0.0), strict=True))
    assert centre_of(even, way[:3]) == 2  # of 1 and 2 the lower


def connected(sgdtheory: Any, root: Path, file: Path, *words: str) -> tuple[Path, dict[str, Any]]:
    model = ["model=mlp", "model.hidden=[6]", f"minima={file}", f"run.root={root}"]
    said = sgdtheory("connect", *model, *WORDS, *words)
    assert said.code == 0, said
    (path,) = (root / "connect").iterdir()
    return path, json.loads((path / "results.json").read_text(encoding="utf-8"))


def test_planted_copies_have_a_flat_star_and_closed_triangles(
    sgdtheory: Any, tmp_path: Path
) -> None:
    landscape = Network(partial(MLP, hidden=(6,)), digits())
    symmetry, draws = symmetry_of(landscape), stream(0, "plant")
    (theta,) = landscape.init(1, draws)
    copies = [theta, *(symmetry.apply(theta, symmetry.random(draws)) for _ in range(3))]
    file = tmp_path / "copies.safetensors"
    save_file({"minima": torch.stack(copies)}, file)
    path, found = connected(sgdtheory, tmp_path, file)
    star = found["star"]
    pairs = [row["pair"] for row in star["lines"]]
    assert len(pairs) == 3 and all(star["centre"] in pair for pair in pairs)
    assert star["aligned_barrier"] == pytest.approx(0, abs=1e-7)
    for row in found["edges"]:
        gap = row["linear"]["logit_gap"]
        assert gap["gap"] == pytest.approx(gap["bent"] - gap["jensen"], abs=1e-12)
        i, j = row["pair"]
        kept = load_file(path / f"paths/{i}-{j}.safetensors")["renumbering"]
        assert torch.equal(symmetry.apply(copies[j], [kept]), copies[i])
    assert all(cycle["moved"] == 0 and cycle["units"] == 6 for cycle in found["cycles"])


@pytest.mark.parametrize(("words", "cycles"), [(["pairs=all"], 1), (["pairs=[[0,1],[1,2]]"], 0)])
def test_networks_that_were_found_apart(
    sgdtheory: Any, tmp_path: Path, words: list[str], cycles: int
) -> None:
    landscape = Network(partial(MLP, hidden=(6,)), digits())
    file = tmp_path / "apart.safetensors"
    save_file({"minima": landscape.init(3, stream(0, "apart"))}, file)
    _, found = connected(sgdtheory, tmp_path, file, *words)
    assert len(found["cycles"]) == cycles and (found["star"] is None) == (cycles == 0)
    if cycles:
        assert sum(cycle["moved"] for cycle in found["cycles"]) > 0


@pytest.mark.slow
def test_a_formula_has_a_star_and_no_units(sgdtheory: Any, tmp_path: Path) -> None:
    words = ["landscape=muller_brown", *QUICK, "plane=0", "executor.workers=1", "--quiet"]
    assert sgdtheory("connect", *words, f"run.root={tmp_path}").code == 0
    (path,) = (tmp_path / "connect").iterdir()
    found = json.loads((path / "results.json").read_text(encoding="utf-8"))
    assert len(found["star"]["lines"]) == 2 and found["cycles"] == []
    assert all(row["aligned_barrier"] is None for row in found["star"]["lines"])
