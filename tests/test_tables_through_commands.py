"""A table of one's own goes through all three commands, and its words are those of its loss."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Command


def write_csv(path: Path) -> None:
    """120 rows of y = x₁ − 2x₂ + x₁x₂ with a little noise."""
    draws = np.random.default_rng(0)
    x = draws.normal(size=(120, 2))
    y = x[:, 0] - 2 * x[:, 1] + x[:, 0] * x[:, 1] + 0.1 * draws.normal(size=120)
    rows = "".join(f"{a:.6f},{b:.6f},{c:.6f}\n" for (a, b), c in zip(x, y, strict=True))
    path.write_text(f"left,right,height\n{rows}", encoding="utf-8")


def write_npz(path: Path) -> None:
    """150 points of three clouds in the plane."""
    draws = np.random.default_rng(1)
    classes = np.arange(150) % 3
    angles = 2 * np.pi * classes / 3
    centres = np.stack([np.cos(angles), np.sin(angles)], 1)
    features = (centres + 0.3 * draws.normal(size=(150, 2))).astype(np.float32)
    arrays = {"train_inputs": features[:120], "train_targets": classes[:120]}
    np.savez(path, **arrays, test_inputs=features[120:], test_targets=classes[120:])


def results_of(root: Path, command: str) -> dict[str, Any]:
    (run,) = (root / command).iterdir()
    found: dict[str, Any] = json.loads((run / "results.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("file", "loss", "unit", "error"),
    [("heights.csv", "mse", "", "1 − R²"), ("clouds.npz", "cross_entropy", "nats", "error")],
)
def test_through_all_three(
    file: str, loss: str, unit: str, error: str, tmp_path: Path, sgdtheory: Command
) -> None:
    path = tmp_path / file
    (write_csv if file.endswith("csv") else write_npz)(path)
    examples = ("data=table", f"data.path={path}", f"landscape.loss={loss}")
    short = ("sgd.steps=60", "sgd.batch_size=32", "minima=2")
    trained = sgdtheory("train", "model=mlp", *examples, "model.hidden=[8]", *short)
    assert trained.code == 0, trained.err
    assert f"training {error} " in trained.out and f"{error} %" in trained.out
    runs = tmp_path / "runs"
    assert results_of(runs, "train")["scores"] == {"unit": unit, "error": error}

    (run,) = (runs / "train").iterdir()
    few = ("autoneb.steps=4", "autoneb.last_steps=4", "autoneb.retries=0", "plane=0")
    joined = sgdtheory("connect", f"minima={run}", "baselines.gradients=8", *few)
    assert joined.code == 0, joined.err
    found = results_of(runs, "connect")
    claims = {claim["name"]: claim for claim in found["claims"]}
    assert (" nats" in claims["connected"]["statement"]) == (unit == "nats")
    assert f"test {error} at the saddles" in claims["test_error"]["statement"]

    swept = sgdtheory(
        *("sweep-temperature", "model=linear", *examples, "landscape.weight_decay=0.1"),
        *("sweep.batch_size=[8]", "sweep.learning_rate=[0.02]", "replicas=4", "sgd.steps=400"),
    )
    assert swept.code == 0, swept.err
    (cell,) = results_of(runs, "sweep-temperature")["cells"]
    assert cell["stationary"] or cell["why"]


def test_the_newest_run_of_another_landscape_is_named(tmp_path: Path, sgdtheory: Command) -> None:
    write_csv(tmp_path / "heights.csv")
    words = ("data=table", "data.path=heights.csv", "landscape.loss=mse", "model.hidden=[8]")
    sgdtheory("train", "model=mlp", *words, "sgd.steps=4", "sgd.batch_size=8", "minima=2")
    said = sgdtheory("connect")
    (run,) = Path("runs/train").iterdir()
    assert said.code == 2 and f"minima={run} takes its minima" in said.err


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_targets_that_are_all_alike_have_no_error_and_two_commands_end(
    loss: str, tmp_path: Path, sgdtheory: Command
) -> None:
    """Targets of 0 are given to networks that put out what is to vanish (residuals of a
    differential equation): half of the best constant's loss means nothing, nor does R²."""
    draws = np.random.default_rng(2)
    inputs = draws.normal(size=(80, 3)).astype(np.float32)
    targets = np.zeros(80, np.float32)
    path = tmp_path / "residuals.npz"
    arrays = {"train_inputs": inputs[:64], "train_targets": targets[:64]}
    np.savez(path, **arrays, test_inputs=inputs[64:], test_targets=targets[64:])
    examples = ("data=table", f"data.path={path}", f"landscape.loss={loss}")
    short = ("model.hidden=[4]", "sgd.steps=40", "sgd.batch_size=32", "minima=2")
    trained = sgdtheory("train", "model=mlp", *examples, *short)
    assert trained.code == 0, trained.err
    runs = tmp_path / "runs"
    (claim,) = results_of(runs, "train")["claims"]
    assert claim["statement"].endswith("; no error is known")
    rows = results_of(runs, "train")["minima"]
    assert claim["value"] == max(row["train_loss"] for row in rows) > 0
    assert {row["test_error"] for row in rows} == {None}

    (run,) = (runs / "train").iterdir()
    few = ("autoneb.steps=4", "autoneb.last_steps=4", "autoneb.retries=0", "plane=0")
    joined = sgdtheory("connect", f"minima={run}", "baselines.gradients=8", *few)
    assert joined.code == 0, joined.err
    found = results_of(runs, "connect")
    assert [claim["name"] for claim in found["claims"]] == ["connected"]
    assert "cannot be said" not in found["claims"][0]["statement"]
    (edge,) = found["edges"]
    assert edge["shared_mistakes"] is None and "classes" in edge["shared_mistakes_why"]
