"""What `minima=`, `at=` and `pairs=` name: runs and their files on the runs' own landscape, and what
is typed against it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgdtheory.landscapes.ring import Ring
from sgdtheory.pipelines.starting_points import given_on_paths
from tests.conftest import Said, call

# 9 numbers of 35 examples: nothing here depends on how well they fit
MLP = ("model=mlp", "model.hidden=[3]", "data.test_share=0.9", "sgd.steps=4", "minima=2")
ONE = ("threads=1", "executor.workers=1", "--quiet")
NAMES = {
    "relu": (),
    "tanh": ("model.activation=tanh",),
    "decay": ("landscape.weight_decay=0.01",),
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of networks with the same parameters on three landscapes."""
    root = tmp_path_factory.mktemp("kept")
    for name, words in NAMES.items():
        said = call("train", *MLP, *words, *ONE, f"run.dir={root / name}", f"run.root={root}")
        assert said.code in (0, 1) and (root / name / "minima.safetensors").exists(), said
    return root


@pytest.fixture
def runs(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These in an empty working directory."""
    shutil.copytree(kept, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)


def diagnose(*words: str) -> Said:
    return call("diagnose", *words, *ONE)


def rows(root: Path) -> list[dict[str, object]]:
    (path,) = root.glob("runs/diagnose/*/results.json")
    found: list[dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))["minima"]
    return found


@pytest.mark.parametrize("command", ["diagnose", "connect", "sweep-temperature"])
@pytest.mark.parametrize("other", ["tanh", "decay"])
def test_a_file_of_a_run_is_of_its_landscape(runs: None, command: str, other: str) -> None:
    """Named as files, with or without words that say a landscape, and mixed with another run."""
    mlp = MLP[:3]
    for first, words in (
        ("runs/relu", ()),
        ("runs/relu/minima.safetensors", ()),
        ("runs/relu/minima.safetensors", mlp),
    ):
        listed = f"minima=[{first},runs/{other}/minima.safetensors]"
        said = call(command, listed, *words, *ONE, "--dry-run")
        assert said.code == 2 and f"runs/{other} is of another landscape than" in said.err, said
        key = {"tanh": "model.activation tanh and relu", "decay": "landscape.weight_decay 0.01"}
        assert key[other] in said.err


def test_a_file_of_a_run_brings_the_landscape(runs: None, tmp_path: Path) -> None:
    """Alone, through a glob and from within the run: the numbers are those that the run has."""
    assert diagnose("minima=runs/tanh/minima.safetensors").code == 0
    known = json.loads(Path("runs/tanh/results.json").read_text(encoding="utf-8"))["minima"]
    for row, own in zip(rows(tmp_path), known, strict=True):
        assert row["train_loss"] == pytest.approx(own["train_loss"], rel=1e-5)  # float32
    words = ("minima=runs/t*/minima.safetensors", "--dry-run")
    assert diagnose(*words).code == 0
    assert diagnose(*words, "model.activation=tanh", "model=mlp").code == 0
    said = diagnose(*words, "model=mlp", "model.activation=relu")
    assert said.code == 2 and "model.activation=relu (there tanh)" in said.err, said


def test_a_file_that_was_changed_is_refused(runs: None) -> None:
    file = Path("runs/tanh/minima.safetensors")
    save_file({"minima": load_file(file)["minima"] + 1}, file)
    said = diagnose(f"minima={file}", "--dry-run")
    assert said.code == 1 and "checksums differ" in said.err


def test_a_copy_elsewhere_is_a_file(runs: None) -> None:
    shutil.copy("runs/tanh/minima.safetensors", "copy.safetensors")
    words = ("minima=[runs/relu,copy.safetensors]", "--dry-run")
    assert diagnose(*words).code == 0
    shutil.copy("copy.safetensors", "runs/tanh/mine.safetensors")  # not one that the run wrote
    assert diagnose("minima=[runs/relu,runs/tanh/mine.safetensors]", "--dry-run").code == 0


def test_a_unit_is_of_its_landscape(runs: None) -> None:
    (unit, *_) = json.loads(Path("runs/tanh/units.json").read_text(encoding="utf-8"))
    file = Path("runs/tanh", unit["directory"], "result.safetensors")
    said = diagnose(f"minima={file}", *MLP[:3], "--dry-run")
    assert said.code == 2 and "model.activation tanh and relu" in said.err, said
    assert diagnose(f"minima={file}", *MLP[:3], "model.activation=tanh", "--dry-run").code == 0


def test_a_configuration_that_names_a_run_is_held_against_it(runs: None) -> None:
    assert diagnose("minima=runs/tanh").code == 0
    (config,) = Path("runs/diagnose").glob("*/config.yaml")
    again = ("--from", str(config), "--dry-run")
    assert diagnose(*again).code == 0
    assert diagnose(*again, "landscape.learning_rate=0.1").code == 0  # no part of a landscape
    said = diagnose(*again, "landscape.weight_decay=0.5")
    assert said.code == 2 and "landscape.weight_decay 0.001 and 0.5" in said.err, said


@pytest.mark.parametrize(
    ("words", "conflict"),
    [
        ("data.test_share=0.9", ""),
        ("model=mlp", ""),
        ("model.hidden=[3] model=mlp data=digits", ""),
        ("landscape.weight_decay=0.001 landscape.device=cpu landscape.learning_rate=0.3", ""),
        ("landscape=network loss=cross_entropy", ""),
        ("data.test_share=0.8 model=mlp", "data.test_share=0.8 (there 0.9):"),
        ("model=cnn model.width=4", "model=cnn (there mlp):"),
        ("model=resnet8 data.limit=9", "data.limit=9 (there null), model=ResNet (there mlp):"),
        ("landscape=regularised", "landscape.weight_decay=0.01 (there 0.001):"),
        ("loss=mse", "loss=mse (there cross_entropy):"),
        ("landscape.loss=cross_entropy", ""),
        ("landscape.loss=mse", "landscape.loss=mse (there cross_entropy):"),
    ],
)
def test_only_what_conflicts_is_refused(runs: None, words: str, conflict: str) -> None:
    """Key by key, against what the run has, whatever else the defaults would be."""
    said = diagnose("minima=runs/relu", *words.split(), "--dry-run")
    if conflict:
        assert said.code == 2 and said.err.startswith(conflict), said
    else:
        assert said.code == 0, said


def test_siblings_are_told_apart_by_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """resnet20 and resnet8 are made by one function: the depth is what the name says."""
    monkeypatch.chdir(tmp_path)
    words = ("model=resnet8", "data.test_share=0.95", "sgd.steps=1", "minima=1", "run.dir=r")
    words += ("sgd.batch_size=4",)
    call("train", *words, *ONE)
    assert diagnose("minima=r", "model=resnet8", "--dry-run").code == 0
    said = diagnose("minima=r", "model=resnet20", "--dry-run")
    assert said.code == 2 and "model.depth=20 (there 8)" in said.err, said


def test_data_may_have_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where data lie is no part of what they are: a run's landscape is known by their content."""
    monkeypatch.chdir(tmp_path)
    pack = {f"{split}_{what}": x for split in ("train", "test") for what, x in examples().items()}
    save_file(pack, "a.safetensors")
    words = ("data=stored", "data.path=a.safetensors", "model=linear", "sgd.steps=2", "minima=1")
    words += ("sgd.batch_size=4",)
    call("train", *words, *ONE, "run.dir=r")
    Path("a.safetensors").rename("b.safetensors")
    moved = diagnose("minima=r", "data=stored", "data.path=b.safetensors", "--dry-run")
    assert moved.code == 0 and "changed" not in moved.err, moved
    save_file({**pack, "train_inputs": pack["train_inputs"] + 1}, "c.safetensors")
    said = diagnose("minima=r", "data=stored", "data.path=c.safetensors", "--dry-run")
    assert said.code == 2 and "data.path=c.safetensors (there a.safetensors)" in said.err, said


def examples() -> dict[str, torch.Tensor]:
    return {"inputs": torch.eye(4), "targets": torch.tensor([0, 1, 0, 1])}


def test_equal_points_of_paths_are_taken_once(tmp_path: Path) -> None:
    """Two paths that share an end have three ends, and a fraction that is named twice no more."""
    corner = torch.tensor([0.0, 1.0], dtype=torch.float64)
    files = (tmp_path / "0-1.safetensors", tmp_path / "0-2.safetensors")
    for file, x in zip(files, (-1.0, 1.0), strict=True):
        end = torch.tensor([x, 0.0], dtype=torch.float64)
        save_file({"path": torch.stack([corner, (corner + end) / 2, end])}, file)
    once = given_on_paths(Ring(), files, (0.5,))
    twice = given_on_paths(Ring(), files, (0.5, 0.5))
    assert once.points.tolist() == twice.points.tolist() == [[-0.5, 0.5], [0.5, 0.5]]
    assert once.sources == twice.sources and len(once.said) == 1
    assert "2 of 4 points are others again" in twice.said[-1]
    ends = given_on_paths(Ring(), files, (0.0, 1.0))
    assert ends.points.tolist() == [[0, 1], [-1, 0], [1, 0]]
    assert len(ends.sources) == len(ends.statistics) == 3
    assert ends.sources[2] == f"{files[1]}: points at 1 of its length"
    assert "1 of 4 points are others again" in ends.said[-1]
    whole = given_on_paths(Ring(), (files[0], files[0]), (0.5,))
    assert len(whole.points) == 1


def test_what_is_no_path_is_refused_beside_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ("autoneb.steps=2", "autoneb.last_steps=2", "autoneb.retries=0", "plane=0", "run.dir=r")
    assert call("connect", "landscape=ring", *few, *ONE).code in (0, 1)
    torch.save(torch.zeros(2), "p.pth")
    words = ("at=[0.5]", *ONE, "--dry-run")
    said = call("sweep-temperature", "minima=[r,p.pth]", *words)
    assert said.code == 2 and "p.pth holds no path of this landscape" in said.err, said
    assert call("sweep-temperature", "minima=r/paths/0-1.safetensors", *words).code == 0
    assert call("sweep-temperature", "minima=r", *words).code == 0


def test_an_empty_list_of_pairs_is_refused() -> None:
    said = call("connect", "landscape=ring", "pairs=[]", *ONE, "--dry-run")
    assert said.code == 2 and "pairs=[]: an empty list names no pair" in said.err, said
