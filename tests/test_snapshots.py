"""Points of a trajectory are kept where it passed, exactly, however often it was interrupted."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.pipelines.snapshots import along, snapshot_steps
from sgdtheory.rng import stream
from sgdtheory.runs import interrupt
from sgdtheory.runs.interrupt import Interrupted
from sgdtheory.runs.unit import Unit, UnitFolder


def test_which_steps() -> None:
    assert (
        snapshot_steps(100, 0) == ()
        and snapshot_steps(100, 1) == (100,)
        and snapshot_steps(100, 3) == (0, 50, 100)
    )
    assert snapshot_steps(3, 20) == (0, 1, 2, 3)


def test_snapshots_are_the_states_of_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landscape = Quadratic((1.0, 0.1), noise=0.3)
    sgd = SGD(10, 4, 0.2, Cosine(), 0.9)
    start = landscape.init(1, stream(1, "init"))
    states = [start, *(state.cloud.clone() for state in sgd.run(landscape, start, 3))]
    steps = snapshot_steps(10, 5)
    real, calls = UnitFolder.keep, [0]

    def keep(self: UnitFolder, *args: Any) -> None:
        calls[0] += 1
        interrupt._Stop.requested = calls[0] == 4
        try:
            real(self, *args)
        finally:
            interrupt._Stop.requested = False

    monkeypatch.setattr(UnitFolder, "keep", keep)
    folder = UnitFolder(tmp_path, Unit("unit", {"name": "unit"}))
    with pytest.raises(Interrupted):
        run_stage(folder, "train", sgd, landscape, start, 3, snapshots=steps)
    again = UnitFolder(tmp_path, Unit("unit", {"name": "unit"}))
    end = run_stage(again, "train", sgd, landscape, start, 3, snapshots=steps)
    tensors, facts = along(again, landscape, sgd, 5, start)
    assert torch.equal(end, states[-1])
    assert torch.equal(tensors["snapshots"], torch.cat([states[step] for step in steps]))
    rows = facts["snapshots"]
    assert [row["step"] for row in rows] == tensors["steps"].tolist() == [0, 2, 5, 8, 10]
    for row in rows:
        assert row["edge_of_stability"] == pytest.approx(2 * 1.9 / row["learning_rate"])
    assert rows[0]["learning_rate"] == pytest.approx(0.2)


def test_a_user_asks_for_snapshots(sgdtheory: Any) -> None:
    words = (
        "landscape=quadratic",
        "sgd.steps=6",
        "minima=2",
        "polish=none",
        "snapshots=3",
        "diagnostic=[spectrum]",
        "device=cpu",
    )
    said = sgdtheory("train", *words, "run.dir=here", "--quiet")
    assert said.code == 0, said.err
    found = json.loads(Path("here/results.json").read_text(encoding="utf-8"))
    assert [(row["minimum"], row["step"]) for row in found["snapshots"]] == [
        (i, s) for i in (0, 1) for s in (0, 3, 6)
    ]
    assert all(
        row["top_eigenvalue"] == pytest.approx(1.0) for row in found["snapshots"] + found["minima"]
    )
    kept = load_file("here/snapshots/1.safetensors")
    assert kept["snapshots"].shape[0] == 3 and kept["steps"].tolist() == [0, 3, 6]
    assert not list(Path("here").rglob("snapshot-*"))
    assert "top eigenvalue" in said.out
    assert Path("here/figures/edge_of_stability.svg").exists()
