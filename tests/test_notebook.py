"""A finished run opened in a notebook, and the example that does it."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import sgdtheory
from sgdtheory.commandline.front import launch
from sgdtheory.errors import RunError, UserError
from sgdtheory.execution.loop import execute
from sgdtheory.report.progress import Watcher

WORDS = ["model=mlp", "sgd.steps=30", "minima=2", "executor.workers=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    raised = launch(
        "train",
        [*WORDS, f"run.root={root}"],
        (),
        None,
        lambda task: void(execute(task, Watcher(0))),
    )
    assert not raised, raised
    return next((root / "train").iterdir())


def void(_: object) -> None:
    return None


def test_importing_the_package_is_free_of_torch() -> None:
    check = "import sys, sgdtheory; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_what_is_loaded_is_what_was_found(run: Path) -> None:
    loaded = sgdtheory.load(run)
    rows = loaded.results["minima"]
    assert loaded.minima.shape == (2, 3466)
    assert loaded.config["sgd"]["steps"] == 30
    scores = loaded.landscape.score(loaded.minima, "test")
    assert scores.losses.mean(1).tolist() == pytest.approx(
        [row["test_loss"] for row in rows], rel=1e-6
    )
    assert loaded.landscape.losses(loaded.minima).tolist() == pytest.approx(
        [row["objective"] for row in rows], rel=1e-5
    )
    assert isinstance(loaded.landscape.model_at(loaded.minima[0]), torch.nn.Module)
    assert loaded.paths == {}


def test_what_is_loaded_is_read_from_anywhere(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are read when they are asked for, and notebooks move about."""
    monkeypatch.chdir(run.parent)
    loaded = sgdtheory.load(run.name)
    monkeypatch.chdir(tmp_path)
    assert loaded.minima.shape == (2, 3466)


def test_the_example_runs(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["open_a_run.py", str(run)])
    runpy.run_path(
        str(Path(__file__).parent.parent / "examples" / "open_a_run.py"), run_name="__main__"
    )
    assert "half-way" in capsys.readouterr().out


def test_no_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run directory"):
        sgdtheory.load(tmp_path)


def test_swapped_minima_are_not_believed(run: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    content = bytearray((copy / "minima.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "minima.safetensors").write_bytes(bytes(content))
    with pytest.raises(RunError, match="not the file that this run wrote"):
        _ = sgdtheory.load(copy).minima
