"""Where no way joins two trained networks, the Bézier curve is trained for longer."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.baselines import Baselines
from sgdtheory.paths.edge import join
from sgdtheory.paths.presets import fast
from sgdtheory.protocol import Cloud
from sgdtheory.rng import stream
from sgdtheory.runs.interrupt import Interrupted
from sgdtheory.runs.unit import UnitFolder
from tests.test_stage import a_folder, interrupt_at

SHORT = fast(steps=2, last_steps=2, multiples=(1.0,), retries=0)
FEW = Baselines(gradients=25, dense=5, longer=1)
LANDSCAPE = Network(MLP, digits(limit=300))


@cache
def minima() -> Cloud:
    start = LANDSCAPE.init(2, stream(0, "init"))
    *_, trained = SGD(300, 64, 0.2, Cosine(), 0.9).run(LANDSCAPE, start, 0)
    return trained.cloud


def joined(path: Path, baselines: Baselines, ends: Cloud | None = None) -> tuple[Any, UnitFolder]:
    folder = a_folder(path)
    row, _ = join(LANDSCAPE, SHORT, baselines, minima() if ends is None else ends, 0, folder)
    return row, folder


def of_curves(folder: UnitFolder) -> list[str]:
    stages = dict.fromkeys(row["stage"] for row in folder.rows("metrics.jsonl"))
    return [stage for stage in stages if "bezier" in stage and "lower" not in stage]


def test_twice_the_gradients_and_one_bend_more_until_it_joins(tmp_path: Path) -> None:
    once, folder = joined(tmp_path / "once", FEW)
    assert once["verdict"].startswith("not connected") and of_curves(folder) == ["bezier"]
    row, folder = joined(tmp_path / "longer", replace(FEW, longer=64))
    stages = of_curves(folder)
    assert stages == ["bezier", *(f"bezier-{25 * 2**k}" for k in range(1, len(stages)))]
    assert row["verdict"].startswith("connected by the Bézier curve")
    assert 2 < len(stages) < 8  # it stops where it joins
    assert row["bezier"]["bends"] == 1 + len(stages)
    assert row["bezier"]["gradients"] == 25 * (2 ** len(stages) - 1)  # of all of them
    for name in ("path", "linear", "aligned", "chain", "straight_barrier"):
        assert row[name] == once[name]
    drawn = max(row["curves"]["bezier"]["train_loss"])
    assert drawn == pytest.approx(row["bezier"]["train_loss"], rel=1e-12)


def test_a_budget_that_is_too_small_is_told_and_the_lowest_is_kept(tmp_path: Path) -> None:
    once, _ = joined(tmp_path / "once", FEW)
    row, folder = joined(tmp_path / "longer", replace(FEW, longer=2))
    assert of_curves(folder) == ["bezier", "bezier-50"] and row["bezier"]["gradients"] == 75
    assert row["verdict"].startswith("not connected")
    assert row["bezier"]["barrier"]["value"] <= once["bezier"]["barrier"]["value"]


def test_a_curve_that_is_higher_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, _ = joined(tmp_path / "once", FEW)
    worse = [replace(FEW, gradients=1, bends=3)]
    monkeypatch.setattr(Baselines, "lengthened", worse)
    row, _ = joined(tmp_path / "longer", FEW)
    assert row["bezier"] == {**once["bezier"], "gradients": 26}
    assert row["curves"]["bezier"] == once["curves"]["bezier"]


def test_formulas_and_what_is_joined_are_left_alone(tmp_path: Path) -> None:
    longer = replace(FEW, longer=4)
    formula, folder = DoubleWell(directions=2), a_folder(tmp_path / "formula")
    join(formula, SHORT, longer, formula.minima(), 0, folder)
    assert of_curves(folder) == ["bezier"]
    first = minima()[0]
    near = torch.stack([first, 1.01 * first])
    row, folder = joined(tmp_path / "joined", longer, near)
    assert row["verdict"].startswith("connected") and of_curves(folder) == ["bezier"]


def test_interrupted_it_has_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    longer = replace(FEW, longer=4)
    whole, _ = joined(tmp_path / "whole", longer)
    interrupt_at(monkeypatch, 30, 30 + 40, 30 + 40 + 45)
    for _ in range(3):
        with pytest.raises(Interrupted):
            joined(tmp_path / "parts", longer)
    parts, _ = joined(tmp_path / "parts", longer)
    assert parts == whole
    assert torch.isfinite(torch.tensor(parts["curves"]["bezier"]["train_loss"])).all()
