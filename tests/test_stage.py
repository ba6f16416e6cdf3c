"""A stage that was interrupted goes on exactly: 5 + 5 steps are 10 steps, bit for bit, losses and all."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.data.images import Images
from sgdtheory.errors import RunError
from sgdtheory.execution.units import do_unit
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.pipelines.train import Train
from sgdtheory.rng import stream
from sgdtheory.runs import interrupt
from sgdtheory.runs import unit as units
from sgdtheory.runs.interrupt import Interrupted
from sgdtheory.runs.unit import Unit, UnitFolder

SAMPLINGS = ("iid", "without_replacement", "epoch")


def images(augment: Any = "none") -> Images:
    source = stream(0, "images")
    pictures = torch.randint(0, 256, (48, 1, 8, 8), generator=source, dtype=torch.uint8)
    labels = torch.arange(48) % 4
    return Images(pictures[:40], labels[:40], pictures[40:], labels[40:], 4, "noise", augment, 2)


def network(name: str, augment: Any = "none") -> Network:
    def model(shape: tuple[int, int, int], classes: int) -> Any:
        return (
            MLP(shape, classes, [6]) if name == "mlp" else ResNet(shape, classes, depth=8, width=2)
        )

    return Network(model, images(augment))


def a_folder(path: Path, name: str = "unit") -> UnitFolder:
    path.mkdir(parents=True, exist_ok=True)
    return UnitFolder(path, Unit(name, {"name": name}))


def interrupt_at(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """A signal arrives just before these calls of `keep` save or stop."""
    real, calls = UnitFolder.keep, [0]

    def keep(self: UnitFolder, *args: Any) -> None:
        calls[0] += 1
        interrupt._Stop.requested = calls[0] in steps
        try:
            real(self, *args)
        finally:
            interrupt._Stop.requested = False

    monkeypatch.setattr(UnitFolder, "keep", keep)


CASES = [
    *(("mlp", 3, sampling, "none", False) for sampling in SAMPLINGS),
    *(("mlp", 3, sampling, "crop_flip", True) for sampling in SAMPLINGS),
    ("resnet", 1, "epoch", "crop_flip", True),
    ("resnet", 2, "iid", "none", False),
    ("quadratic", 3, "iid", "none", True),
    ("double_well", 2, "iid", "none", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "points", "sampling", "augment", "nesterov"), CASES)
@pytest.mark.parametrize(
    "records", [200, 3]
)  # a row a step; rows of three steps, so that a window is cut through
def test_five_and_five_steps_are_ten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, points: int, sampling: Any, augment: str, nesterov: bool, records: int,
) -> None:  # fmt: skip
    monkeypatch.setattr("sgdtheory.optim.training_loop.RECORDS", records)
    formulas = {
        "quadratic": Quadratic((1.0, 0.1), noise=0.3),
        "double_well": DoubleWell(directions=2),
    }
    landscape: Any = formulas.get(name) or network(name, augment)
    start = landscape.init(points, stream(1, "init"))
    sgd = SGD(10, 8, "auto", Cosine(), 0.9, nesterov, sampling)

    whole = a_folder(tmp_path / "whole")
    cloud: Tensor = run_stage(whole, "train", sgd, landscape, start, 3)

    interrupt_at(
        monkeypatch, 5, 5 + 2, 5 + 2 + 3
    )  # after 5 steps, 2 more, 3 more: the last is interrupted at its very end
    for _ in range(3):
        with pytest.raises(Interrupted):
            run_stage(a_folder(tmp_path / "parts"), "train", sgd, landscape, start, 3)
    parts = a_folder(tmp_path / "parts")
    assert torch.equal(run_stage(parts, "train", sgd, landscape, start, 3), cloud)
    for file in ("metrics.jsonl", "stage-train.safetensors"):
        assert (parts.path / file).read_bytes() == (whole.path / file).read_bytes()
    assert [row["step"] for row in parts.rows("metrics.jsonl")] == (
        list(range(1, 11)) if records == 200 else [3, 6, 9, 10]
    )


def test_the_loop_resumes_from_its_own_states() -> None:
    landscape = network("mlp", "crop_flip")
    for sampling in SAMPLINGS:
        sgd = SGD(10, 8, 0.1, Cosine(), 0.9, True, sampling)
        start = landscape.init(3, stream(1, "init"))
        *_, whole = sgd.run(landscape, start, 0)
        for state in sgd.run(landscape, start, 0):
            if state.step == 5:
                break
        *_, parts = sgd.run(
            landscape, type(state)(5, state.cloud.clone(), state.velocity.clone()), 0
        )
        assert parts.step == whole.step == 10
        assert torch.equal(parts.cloud, whole.cloud) and torch.equal(parts.velocity, whole.velocity)


def test_points_that_diverge_are_named_and_all_of_them_are_a_failure(tmp_path: Path) -> None:
    landscape = Quadratic((1.0, 0.1), noise=0.0)
    start = torch.tensor([[1.0, 1.0], [float("nan"), 1.0]])
    sgd = SGD(10, None, 0.1, Cosine())
    folder = a_folder(tmp_path / "one")
    cloud = run_stage(folder, "train", sgd, landscape, start, 0)
    assert torch.isfinite(cloud[0]).all()
    assert all(
        row["lost"] == [1] and row["loss"][1] is None for row in folder.rows("metrics.jsonl")
    )
    with pytest.raises(
        RunError,
        match=r"not finite from step 1 of train on; lower sgd\.learning_rate \(it was 0\.1\)",
    ):
        run_stage(a_folder(tmp_path / "all"), "train", sgd, landscape, start[1:], 0)


# killed at every single operation on the disk


class Killed(BaseException):
    pass


def kill_at(patch: pytest.MonkeyPatch, number: int | None) -> list[int]:
    """Die instead of doing the disk operation of this number; gives the counter."""
    count = [0]

    def counted(real: Any) -> Any:
        def operation(*args: Any, **kwargs: Any) -> Any:
            if count[0] == number:
                raise Killed
            count[0] += 1
            return real(*args, **kwargs)

        return operation

    for thing, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "write_text")):
        patch.setattr(thing, name, counted(getattr(thing, name)))
    return count


def test_killed_anywhere_a_unit_comes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stages, a checkpoint every other step; killed before each of its disk operations, and once more on the way back."""
    steps = SGD(6, 4, "auto", Cosine(), 0.9)
    pipeline = Train(
        Quadratic((1.0, 0.1), noise=0.3), steps, minima=1, polish="descent", polish_steps=4
    )
    unit = Unit("minimum-0", {"index": 0, "seed": 0}, partial(pipeline._find, 0))
    monkeypatch.setattr(units, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)

    def do(name: str, number: int | None = None) -> int:
        folder = UnitFolder(tmp_path / name, unit)
        with monkeypatch.context() as patch, folder.lock():
            count = kill_at(patch, number)
            try:
                if folder.status["status"] != "done":
                    do_unit(unit, folder)
            except Killed:
                pass
        return count[0]

    total = do("whole")
    assert total > 40

    def left(name: str) -> dict[str, bytes]:
        """All files but what depends on the time, and temporary ones of a process that is alive: this one."""
        files = [
            path
            for path in (tmp_path / name).iterdir()
            if path.name != "status.json" and path.name[0] != "."
        ]
        return {path.name: path.read_bytes() for path in sorted(files)}

    wanted = left("whole")
    assert list(wanted) == ["metrics.jsonl", "result.json", "result.safetensors", "unit.json"]
    for number in range(total):
        name = f"killed-{number}"
        do(name, number)
        do(name, 7)  # killed again soon after the beginning
        assert UnitFolder(tmp_path / name, unit).status["status"] in (
            "unfinished",
            "missing",
            "done",
        ), number
        do(name)
        assert UnitFolder(tmp_path / name, unit).status["status"] == "done", number
        found = left(name)
        assert found == wanted, number
