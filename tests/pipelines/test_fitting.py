"""`sgd.steps=auto`: what does not fit its data is trained anew with twice the steps."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdtheory.data.digits import digits
from sgdtheory.data.images import Images
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.learning_rate import measured_rate
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.pipelines.fitting import FITTED, MOST, WORTH, Trainings
from sgdtheory.pipelines.snapshots import along
from sgdtheory.protocol import Cloud
from sgdtheory.rng import stream
from sgdtheory.runs.interrupt import Interrupted
from tests.test_stage import a_folder, interrupt_at

AUTO = SGD("auto", 32, "auto", Cosine(), 0.9)


def a_network(data: Images | None = None, width: int = 8) -> Network:
    return Network(partial(MLP, hidden=(width,)), data or digits(limit=100))


def trained(path: Path, sgd: SGD, landscape: Any, snapshots: int = 0) -> tuple[Cloud, SGD, Any]:
    folder = a_folder(path)
    start = landscape.init(1, stream(0, "start"))
    trainings = Trainings(folder, landscape, landscape, start, 3, (0.0, 0.9), snapshots)
    found = trainings.until_fitted(sgd)
    return *found, folder


def stages_of(folder: Any) -> list[str]:
    """Without those of lower rates."""
    stages = dict.fromkeys(row["stage"] for row in folder.rows("metrics.jsonl"))
    return [stage for stage in stages if "lower" not in stage]


def few(monkeypatch: pytest.MonkeyPatch, steps: int = 20) -> None:
    monkeypatch.setattr(SGD, "usual_steps", steps)


def test_it_goes_on_until_the_data_are_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what comes out has the bits of a run that was given the number."""
    few(monkeypatch)
    landscape = a_network()
    cloud, sgd, folder = trained(tmp_path / "auto", AUTO, landscape)
    assert sgd.length in (40, 80, 160, 320)
    stages = stages_of(folder)
    assert stages == ["train", *(f"train-{20 * 2**k}" for k in range(1, len(stages)))]
    assert landscape.score(cloud, "train").errors.mean() < FITTED
    for steps in (sgd.length, sgd.length // 2):
        given = SGD(steps, 32, "auto", Cosine(), 0.9)
        other, same, known = trained(tmp_path / f"{steps}", given, landscape)
        assert stages_of(known) == ["train"]
        if steps == sgd.length:
            assert torch.equal(other, cloud) and same == sgd
        else:
            assert landscape.score(other, "train").errors.mean() >= FITTED


def test_what_fits_at_once_is_left_alone(tmp_path: Path) -> None:
    """32 units end at losses below .03 from twelve of twelve starts; of 8 units some die."""
    _, sgd, folder = trained(tmp_path, AUTO, a_network(width=32))
    assert sgd.length == 400 and stages_of(folder) == ["train"]


def test_a_rate_that_is_too_high_is_lowered_where_more_steps_do_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units die, and the loss stays at ln K without rising; of looks on the way there are none. At
    eight times the rate that was lost, and found again, from eight of eight starts."""
    monkeypatch.setattr("sgdtheory.optim.training_loop.look_steps", lambda steps: [])
    monkeypatch.setattr(
        "sgdtheory.optim.sgd.measured_rate", lambda *given: 8 * measured_rate(*given)
    )
    landscape = a_network(width=32)
    cloud, sgd, folder = trained(tmp_path / "lowered", AUTO, landscape, snapshots=2)
    assert landscape.score(cloud, "train").errors.mean() < FITTED
    first = folder.load_checkpoint("train-rate")[0]["rate"]
    slower = [4.0**k * sgd.rate for k in (1, 2, 3)]
    assert any(float(first) == pytest.approx(rate) for rate in slower)
    tensors, _ = along(folder, landscape, sgd, 2, cloud)
    assert torch.equal(tensors["snapshots"][1:], cloud)
    given = replace(sgd, steps=sgd.length)  # the numbers that were found
    again, _, _ = trained(tmp_path / "given", given, landscape)
    assert torch.equal(again, cloud)
    monkeypatch.setattr("sgdtheory.pipelines.fitting.SLOWER", 0)
    cloud, _, _ = trained(tmp_path / "kept", AUTO, landscape)
    assert landscape.score(cloud, "train").errors.mean() > 0.5


def contradicting() -> Images:
    """Every picture twice, under different classes: no error is below a half."""
    data = digits(limit=40)
    inputs, targets = data.train_inputs, data.train_targets
    both = torch.cat([targets, (targets + 1) % 10])
    return replace(data, train_inputs=torch.cat([inputs, inputs]), train_targets=both)


def test_steps_are_not_doubled_where_they_do_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch, 600)
    landscape = a_network(contradicting())
    cloud, sgd, folder = trained(tmp_path, AUTO, landscape)
    assert landscape.score(cloud, "train").errors.mean() >= 0.5
    assert stages_of(folder) == ["train", "train-1200"] and sgd.length == 1200
    losses = [
        float(landscape.score(folder.stage(stage), "train").losses.mean())
        for stage in ("train", "train-1200")
    ]
    assert losses[1] > WORTH * losses[0]


@pytest.mark.parametrize("worse", [1.5, float("nan"), 0.95])
def test_a_longer_training_that_is_worse_is_not_what_comes_out(
    worse: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch)
    scores = iter([(1.0, 0.5), (worse, 0.5)])
    monkeypatch.setattr("sgdtheory.pipelines.fitting._training_score", lambda *_: next(scores))
    landscape = a_network()
    sgd = replace(AUTO, learning_rate=0.1)
    cloud, done, folder = trained(tmp_path / "auto", sgd, landscape)
    assert stages_of(folder) == ["train", "train-40"]
    assert done.steps == (40 if worse < 1 else 20)
    given, _, _ = trained(tmp_path / "given", done, landscape)
    assert torch.equal(given, cloud)


def test_there_is_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At one step and its doublings the loss falls, and the data are not fitted."""
    few(monkeypatch, 1)
    monkeypatch.setattr("sgdtheory.pipelines.fitting.WORTH", 10.0)
    _, _, folder = trained(tmp_path, AUTO, a_network())
    assert stages_of(folder) == ["train", *(f"train-{2**k}" for k in range(1, 5))] and MOST == 16


def test_a_number_that_was_given_is_kept_to_and_formulas_fit_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = SGD(3, 32, "auto", Cosine(), 0.9)
    _, sgd, folder = trained(tmp_path / "given", given, a_network())
    assert sgd.length == 3 and stages_of(folder) == ["train"]
    few(monkeypatch, 4)
    formula = Quadratic((1.0, 0.1), noise=0.3)
    _, sgd, folder = trained(tmp_path / "formula", AUTO, formula)
    assert sgd.length == 4 and stages_of(folder) == ["train"]


def test_interrupted_in_any_training_it_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshots are those of the last training, equally spaced over it."""
    few(monkeypatch)
    landscape = a_network()
    whole, sgd, kept = trained(tmp_path / "whole", AUTO, landscape, snapshots=3)
    assert sgd.length > 20
    interrupt_at(monkeypatch, 7, 7 + 20, 7 + 20 + 25)
    for _ in range(3):
        with pytest.raises(Interrupted):
            trained(tmp_path / "parts", AUTO, landscape, snapshots=3)
    parts, again, folder = trained(tmp_path / "parts", AUTO, landscape, snapshots=3)
    assert torch.equal(parts, whole) and again == sgd
    assert folder.rows("metrics.jsonl") == kept.rows("metrics.jsonl")
    tensors, facts = along(folder, landscape, sgd, 3, whole)
    assert tensors["steps"].tolist() == [0, sgd.length // 2, sgd.length]
    assert torch.equal(tensors["snapshots"][-1:], whole)
    assert [row["step"] for row in facts["snapshots"]] == tensors["steps"].tolist()


def test_a_dry_run_says_what_it_does_not_count(sgdtheory: Any) -> None:
    few = ["model=mlp", "minima=1", "--dry-run"]
    said = sgdtheory("train", *few).out
    assert "not counted: with sgd.steps=auto trainings with a training error of 1 %" in said
    assert "not counted" not in sgdtheory("train", *few, "sgd.steps=20").out
    assert "not counted" not in sgdtheory("train", "landscape=ring", "--dry-run").out
