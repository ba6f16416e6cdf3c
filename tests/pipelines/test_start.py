"""`train start=RUN@STEP`: copies of a point that another run kept."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import sgdtheory as package
from sgdtheory.errors import UserError
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.pipelines.start import Snapshot
from sgdtheory.rng import key
from tests.conftest import call

QUICK = ["executor.workers=1", "--quiet", "polish=none"]
BOWL = ["landscape=quadratic", "landscape.curvatures=[1,0.1]", "landscape.noise=0.3"]


def train(sgdtheory: Any, *words: str) -> Path:
    before = set(Path("runs/train").glob("*"))
    said = sgdtheory("train", *QUICK, *words)
    assert said.code == 0, said
    (path,) = set(Path("runs/train").glob("*")) - before
    return path


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run with snapshots lies."""
    where = tmp_path_factory.mktemp("grown")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        train(call, *BOWL, "sgd.steps=40", "minima=1", "snapshots=3")
    return where


@pytest.fixture
def trunk(sgdtheory: Any, grown: Path) -> Path:
    shutil.copytree(grown / "runs", "runs")
    (path,) = Path("runs/train").iterdir()
    return path


def test_copies_begin_at_the_snapshot_each_with_its_own_noise(sgdtheory: Any, trunk: Path) -> None:
    kept = load_file(trunk / "snapshots/0.safetensors")
    path = train(sgdtheory, f"start={trunk}@20", "sgd.steps=6", "minima=2", "sgd.learning_rate=0.1")
    found = load_file(path / "minima.safetensors")
    theta = kept["snapshots"][1]
    assert torch.equal(found["starts"][0], theta)
    landscape = Quadratic((1.0, 0.1), noise=0.3)
    sgd = SGD(6, 128, 0.1, Cosine(), 0.9)
    for i, end in enumerate(found["minima"]):
        seed = key(0, "copy", i)
        *_, last = sgd.run(landscape, theta[None], seed)
        assert torch.equal(last.cloud[0], end)
    assert not torch.equal(*found["minima"])
    # not on the command line, and the same landscape
    assert package.load(path).minima.shape == (2, 2)


def test_a_run_of_copies_is_opened_without_its_trunk(sgdtheory: Any, trunk: Path) -> None:
    path = train(sgdtheory, f"start={trunk}@last", "sgd.steps=3", "minima=1")
    shutil.rmtree(trunk)
    assert package.load(path).minima.shape == (1, 2)


def test_the_same_point_is_the_same_run(sgdtheory: Any, trunk: Path) -> None:
    words = ["sgd.steps=3", "minima=1"]
    path = train(sgdtheory, f"start={trunk}@40", *words)
    for word in (f"{trunk}@last", f"{trunk}/snapshots/0.safetensors@40"):
        said = sgdtheory("train", *QUICK, f"start={word}", *words)
        assert said.code == 0 and path.name in said.out
    assert train(sgdtheory, f"start={trunk}@20", *words) != path


def test_networks_keep_their_model_and_data(sgdtheory: Any) -> None:
    mlp = ["model=mlp", "model.hidden=[3]", "sgd.batch_size=8"]
    trunk = train(sgdtheory, *mlp, "sgd.steps=4", "minima=2", "snapshots=2")
    several = sgdtheory("train", *QUICK, f"start={trunk}@last")
    assert several.code == 2 and "that run has 2 trajectories; name one" in several.err
    file = trunk / "snapshots/1.safetensors"
    path = train(sgdtheory, f"start={file}@4", "sgd.steps=2", "minima=2")
    assert "hidden:\n  - 3" in (path / "config.yaml").read_text(encoding="utf-8")
    assert torch.equal(
        load_file(path / "minima.safetensors")["starts"][0], load_file(file)["snapshots"][1]
    )


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("{}@21", "kept are the steps 0, 20, 40"),
        ("{}", "say RUN@STEP or RUN@last"),
        ("{}@-1", "say RUN@STEP or RUN@last"),
        ("nowhere@3", "no such run"),
        ("{}@last landscape=ring", "another landscape than that of start="),
        ("{}/minima.safetensors@starts", "no such run"),
    ],
)
def test_a_wrong_start_is_refused_in_a_line(
    sgdtheory: Any, trunk: Path, word: str, why: str
) -> None:
    said = sgdtheory("train", *QUICK, *f"start={word.format(trunk)}".split())
    assert said.code == 2 and why in said.err and len(said.err.splitlines()) == 1
    assert len(list(Path("runs/train").iterdir())) == 1


def test_a_run_without_snapshots_is_refused(sgdtheory: Any) -> None:
    path = train(sgdtheory, *BOWL, "sgd.steps=2", "minima=1")
    said = sgdtheory("train", *QUICK, f"start={path}@last")
    assert said.code == 2 and "kept no snapshots; train it with snapshots=N" in said.err


def test_a_file_that_was_changed_is_refused(sgdtheory: Any, trunk: Path) -> None:
    file = trunk / "snapshots/0.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    said = sgdtheory("train", *QUICK, f"start={trunk}@last")
    assert said.code == 1 and "checksums differ" in said.err


def test_points_of_another_landscape_are_refused(sgdtheory: Any, trunk: Path) -> None:
    snapshot = Snapshot.named(f"{trunk}/snapshots/0.safetensors@20")
    with pytest.raises(UserError, match="this landscape has 3 parameters"):
        snapshot.point(Quadratic((1.0, 1.0, 1.0)))
