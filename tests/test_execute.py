"""The loop over units: what is missing, what is shared, what failed, and what the manifest says of
it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from sgdtheory.pipelines.train import Train
from sgdtheory.runs import interrupt
from sgdtheory.runs.run import status_of
from sgdtheory.runs.unit import UnitFolder
from tests.conftest import Command

WORDS = (
    "train",
    "landscape=double_well",
    "sgd.steps=20",
    "minima=2",
    "polish_steps=20",
    "device=cpu",
    "threads=1",
    "executor.workers=1",
)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgdtheory.report.page.draw", lambda path, out=None: path)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the units that are being done, as they are done."""
    found: list[str] = []
    real = Train._find

    def find(self: Train, index: int, folder: UnitFolder) -> None:
        found.append(folder.unit.name)
        real(self, index, folder)

    monkeypatch.setattr(Train, "_find", find)
    return found


def take(done: list[str]) -> list[str]:
    found = [*done]
    done.clear()
    return found


def run_of(root: Path = Path("runs")) -> Path:
    (found,) = (path.parent for path in root.rglob("manifest.json"))
    return found


def fail_in(patch: pytest.MonkeyPatch, name: str, fault: BaseException) -> None:
    real = Train._find

    def find(self: Train, index: int, folder: UnitFolder) -> None:
        if folder.unit.name == name:
            raise fault
        real(self, index, folder)

    patch.setattr(Train, "_find", find)


def test_units_are_shared_by_what_they_compute(sgdtheory: Command, done: list[str]) -> None:
    assert sgdtheory(*WORDS).code == 0
    assert take(done) == ["minimum-0", "minimum-1"]
    said = sgdtheory(*WORDS, "minima=3")
    assert said.code == 0 and "2 of 3 units are done already" in said.err
    assert take(done) == ["minimum-2"]
    assert sgdtheory(*WORDS, "run.dir=mine").code == 0  # units live inside it
    assert take(done) == ["minimum-0", "minimum-1"] and len(list(Path("mine/units").iterdir())) == 2
    assert (Path("mine") / "minima.safetensors").read_bytes() in [
        path.read_bytes() for path in Path("runs").rglob("minima.safetensors")
    ]
    assert sgdtheory(*WORDS, "seed=1").code == 0  # shares nothing
    assert take(done) == ["minimum-0", "minimum-1"]
    assert len(list(Path("runs/units").iterdir())) == 5


def test_how_and_where_is_no_part_of_what(sgdtheory: Command, done: list[str]) -> None:
    assert sgdtheory(*WORDS).code == 0
    take(done)
    head, *rest = WORDS
    for words in (
        [head, *reversed(rest)],
        [*WORDS, "--quiet"],
        [*WORDS, "--verbose", "threads=2", "executor.workers=2"],
        [*WORDS, "device=auto"],
        [*WORDS, "run.root=./runs"],
    ):
        said = sgdtheory(*words)
        assert said.code == 0 and not take(done), said
        assert ("already done" in said.err) == ("--quiet" not in words)
        assert said.out
    assert sgdtheory(*WORDS, "run.name=other").code == 0  # another directory, the same units
    assert not take(done)
    assert len(list(Path("runs/train").iterdir())) == 2


def test_a_failed_unit_is_done_again_only_when_asked(
    sgdtheory: Command, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail_in(patch, "minimum-1", ValueError("a bug\nin two lines"))
        said = sgdtheory(*WORDS)
    assert said.code == 1 and len(said.err.splitlines()) == 1 and "Traceback" not in said.err
    assert (
        "1 of 2 units failed (minimum-1: ValueError: a bug (see " in said.err
        and "--retry-failed" in said.err
    )
    assert take(done) == ["minimum-0"]
    (traceback,) = Path("runs").rglob("traceback.txt")
    assert "ValueError: a bug" in traceback.read_text(encoding="utf-8")
    status, manifest, rows = status_of(run_of())
    assert (status, [row["status"] for row in rows]) == ("failed", ["done", "failed"])
    assert "a bug" in manifest["why"]
    assert (
        len(json.loads((run_of() / "results.json").read_text(encoding="utf-8"))["minima"]) == 1
    )  # what there is, is kept

    assert sgdtheory(*WORDS).code == 1 and take(done) == []
    assert sgdtheory(*WORDS, "run.name=other").code == 1 and take(done) == []  # nor in another run
    assert sgdtheory(*WORDS, "--retry-failed").code == 0 and take(done) == ["minimum-1"]
    assert sgdtheory(*WORDS, "run.name=other").code == 0 and take(done) == []


def test_seconds_add_up_and_statuses_are_true(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    real = Train._find

    def slow(self: Train, index: int, folder: UnitFolder) -> None:
        seen.append((status_of(run_of())[0], folder.status["status"]))
        time.sleep(0.3)
        interrupt._Stop.requested = len(seen) == 1
        real(self, index, folder)

    monkeypatch.setattr(Train, "_find", slow)
    said = sgdtheory(*WORDS, "minima=1")
    assert (
        said.code == 130
        and said.err
        == "interrupted; everything so far is kept, the same command goes on from there\n"
    )
    status, manifest, rows = status_of(run_of())
    assert (status, rows[0]["status"]) == ("interrupted", "unfinished")
    assert manifest["seconds"] > 0.3 and rows[0]["seconds"] > 0.3

    assert sgdtheory(*WORDS, "minima=1").code == 0
    status, manifest, rows = status_of(run_of())
    assert (status, rows[0]["status"]) == ("done", "done")
    assert seen == [("running", "running")] * 2
    assert manifest["seconds"] > 0.6 and rows[0]["seconds"] > 0.6
    assert json.loads((run_of() / "results.json").read_text(encoding="utf-8"))["seconds"] > 0.6
    assert manifest["cost"]["seconds"] > 0.6 > manifest["cost"]["cpu_seconds"] > 0


def test_the_manifest_says_how_it_went(sgdtheory: Command) -> None:
    began = time.time()
    assert sgdtheory(*WORDS, "seed=3").code == 0
    manifest = json.loads((run_of() / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "done" and manifest["why"] == ""
    assert manifest["command"] == "train" and manifest["seed"] == 3 and manifest["device"] == "cpu"
    assert manifest["command_line"] == f"sgdtheory {' '.join(WORDS)} seed=3"
    assert began < manifest["started"] < manifest["finished"] < time.time()
    assert {"sgdtheory", "torch", "python"} <= manifest["versions"].keys() and "git" in manifest
    assert len(manifest["config_hash"]) == 64 and run_of().name.endswith(
        manifest["config_hash"][:8]
    )
    log = (run_of() / "log.txt").read_text(encoding="utf-8").splitlines()
    assert f"begun: {manifest['command_line']}" in log[0] and log[-1].endswith(" done")


def test_what_a_killed_process_left_at_the_very_beginning_is_no_obstacle(
    sgdtheory: Command,
) -> None:
    said = sgdtheory(*WORDS, "run.dir=mine", "--dry-run")
    assert said.code == 0 and not Path("mine").exists()
    Path("mine").mkdir()
    for name in (".lock", ".manifest.json.99999999-1.sgdtheory.tmp"):
        (Path("mine") / name).touch()
    assert sgdtheory(*WORDS, "run.dir=mine").code == 0
    assert not list(Path("mine").glob("*.tmp"))
    Path("other").mkdir()
    (Path("other") / "thesis.tex").touch()
    said = sgdtheory(*WORDS, "run.dir=other")
    assert said.code == 2 and "holds something that is no run" in said.err
    said = sgdtheory(*WORDS, "seed=1", "run.dir=mine")
    assert said.code == 2 and "holds another run" in said.err


def test_a_finished_run_whose_files_are_gone_is_written_again(
    sgdtheory: Command, done: list[str]
) -> None:
    assert sgdtheory(*WORDS).code == 0
    take(done)
    kept = {name: (run_of() / name).read_bytes() for name in ("minima.safetensors", "table.csv")}
    (run_of() / "minima.safetensors").unlink()
    assert sgdtheory(*WORDS).code == 0 and not take(done)
    assert {name: (run_of() / name).read_bytes() for name in kept} == kept


@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device", "x"), KeyboardInterrupt()]
)
def test_the_disk_and_the_user_are_no_fault_of_a_unit(
    sgdtheory: Command, done: list[str], monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    with monkeypatch.context() as patch:
        fail_in(patch, "minimum-1", fault)
        assert sgdtheory(*WORDS).code == (1 if isinstance(fault, OSError) else 130)
    assert [row["status"] for row in status_of(run_of())[2]] == ["done", "unfinished"]
    take(done)
    assert sgdtheory(*WORDS).code == 0 and take(done) == ["minimum-1"]


def test_an_unexpected_fault_of_the_run_is_in_its_manifest(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Train, run: Any) -> Any:
        raise ZeroDivisionError("nobody thought of this")

    with monkeypatch.context() as patch:
        patch.setattr(Train, "finish", fail)
        said = sgdtheory(*WORDS)
    assert said.code == 1 and "ZeroDivisionError: nobody thought of this" in said.err
    assert (
        json.loads((run_of() / "manifest.json").read_text(encoding="utf-8"))["why"]
        == "ZeroDivisionError: nobody thought of this"
    )
    assert sgdtheory(*WORDS).code == 0
