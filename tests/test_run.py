"""What a run directory says of itself: statuses that are true now, units by their hash, results
that vouch for themselves."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdtheory.runs import interrupt
from sgdtheory.runs.folder import CorruptFile, Folder
from sgdtheory.runs.interrupt import (
    Interrupted,
    handlers_kept,
    signal_that_asked,
    stop_if_asked,
    stoppable,
)
from sgdtheory.runs.run import Run, runs_under, status_of
from sgdtheory.runs.unit import Unit, UnitFolder

UNIT = Unit("minimum-0", {"index": 0, "seed": 0})


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    (tmp_path / "unit").mkdir()
    return UnitFolder(tmp_path / "unit", UNIT)


def again(folder: UnitFolder) -> UnitFolder:
    """The same directory, as another process finds it."""
    return UnitFolder(folder.path, folder.unit)


def test_a_unit_is_the_hash_of_its_science_and_not_of_its_name() -> None:
    assert UNIT.hash == Unit("other", {"seed": 0, "index": 0}).hash
    assert (
        len({UNIT.hash, Unit("a", {"index": 1, "seed": 0}).hash, Unit("a", {"index": 0}).hash}) == 3
    )


# statuses


def test_the_status_of_a_unit_is_true_now(folder: UnitFolder) -> None:
    assert folder.status == {"status": "missing"}
    with folder.lock():
        folder.write_json("status.json", {"status": "running", "pid": 1})
        assert again(folder).status["status"] == "running"
    assert again(folder).status["status"] == "unfinished"  # nobody holds it
    folder.finish({"rows": []}, {"x": torch.zeros(2)})
    folder.write_json("status.json", {"status": "done"})
    assert folder.status["status"] == "done"
    (folder.path / "result.safetensors").unlink()
    assert folder.status["status"] == "unfinished" and folder.result is None


def test_a_unit_that_ends_between_two_looks_is_done(
    folder: UnitFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.finish({"rows": []}, {"x": torch.zeros(2)})
    folder.write_json("status.json", {"status": "running"})

    def ends(self: Folder) -> bool:
        self.write_json("status.json", {"status": "done"})
        return False

    monkeypatch.setattr(Folder, "is_locked", ends)
    assert folder.status["status"] == "done"


def test_the_status_of_a_run_is_true_now(tmp_path: Path, folder: UnitFolder) -> None:
    run = Folder(tmp_path / "run")
    assert status_of(run.path)[0] == "missing"
    row = {
        "name": "minimum-0",
        "hash": UNIT.hash,
        "directory": "../unit",
        "status": "failed",
        "why": "an old reason",
    }
    run.write_json("units.json", [row])
    for status in ("done", "failed", "interrupted"):
        run.write_json("manifest.json", {"status": status})
        assert status_of(run.path)[0] == status
    run.write_json("manifest.json", {"status": "running"})
    assert status_of(run.path)[0] == "interrupted"
    with run.lock(), folder.lock():
        folder.write_json("status.json", {"status": "running"})
        status, manifest, rows = status_of(run.path)
        assert status == manifest["status"] == "running"
        assert rows == [
            {"name": "minimum-0", "hash": UNIT.hash, "directory": "../unit", "status": "running"}
        ]
    folder.write_json("status.json", {"status": "failed", "why": "a new reason", "seconds": 2.0})
    assert status_of(run.path)[2][0]["why"] == "a new reason"
    folder.reset_failed()
    assert again(folder).status == {"status": "unfinished", "seconds": 2.0}


def test_runs_are_listed_the_newest_last(tmp_path: Path) -> None:
    assert runs_under(tmp_path / "none") == []
    for name in ("train/a", "connect/b", "train/c"):
        Folder(tmp_path / name).write_json("manifest.json", {})
    assert [path.name for path in runs_under(tmp_path)] == ["a", "b", "c"]
    assert [path.name for path in runs_under(tmp_path, "train")] == ["a", "c"]


# states


def test_a_state_comes_back_and_later_rows_do_not(folder: UnitFolder) -> None:
    assert folder.resume("train") is None
    folder.log(step=1)
    folder.save({"cloud": torch.ones(2)}, {"stage": "train", "step": 1})
    folder.append("metrics.jsonl", [{"step": 2}, {"step": 3}])
    found = again(folder).resume("train")
    assert (
        found is not None
        and found[1]["step"] == 1
        and torch.equal(found[0]["cloud"], torch.ones(2))
    )
    assert folder.rows("metrics.jsonl") == [{"step": 1}]
    assert again(folder).resume("polish") is None  # it is another stage's: nothing of it counts
    assert folder.rows("metrics.jsonl") == []


def test_rows_that_were_edited_are_not_gone_on_with(folder: UnitFolder) -> None:
    folder.log(step=1, loss=0.5)
    folder.save({"cloud": torch.ones(2)}, {"stage": "train", "step": 1})
    log = folder.path / "metrics.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b"0.5", b"0.1"))
    with pytest.raises(CorruptFile, match=r"metrics\.jsonl is not what this unit wrote"):
        again(folder).resume("train")
    log.write_bytes(whole)
    folder.end_stage("train", torch.ones(2))
    log.write_bytes(whole.replace(b"0.5", b"0.1"))
    later = again(folder)
    later.stage("train")
    with pytest.raises(CorruptFile, match=r"metrics\.jsonl is not what this unit wrote"):
        later.resume("polish")


def test_a_state_that_is_older_than_a_finished_stage_does_not_count(folder: UnitFolder) -> None:
    folder.log(step=1)
    folder.save({"cloud": torch.zeros(2)}, {"stage": "train", "step": 1})
    old = (folder.path / "state.safetensors").read_bytes()
    folder.log(step=2)
    folder.end_stage("train", torch.ones(2))
    folder.write_bytes("state.safetensors", old)  # killed before it was deleted
    later = again(folder)
    assert torch.equal(later.stage("train"), torch.ones(2))
    assert later.resume("polish") is None
    assert later.rows("metrics.jsonl") == [{"step": 1}, {"step": 2}]


def test_a_stage_that_is_done_again_forgets_those_after_it(folder: UnitFolder) -> None:
    for name in ("one", "two"):
        folder.log(stage=name)
        folder.end_stage(name, torch.ones(2))
    (folder.path / "stage-one.safetensors").unlink()
    later = again(folder)
    assert later.stage("one") is None and later.resume("one") is None
    assert later.stage("two") is None and later.rows("metrics.jsonl") == []


def test_what_belongs_to_another_unit_is_refused(folder: UnitFolder, tmp_path: Path) -> None:
    folder.save({}, {"stage": "train"})
    folder.end_stage("other", torch.ones(2))
    folder.save({}, {"stage": "train"})
    stranger = UnitFolder(folder.path, Unit("minimum-1", {"index": 1}))
    for ask in (lambda: stranger.resume("train"), lambda: stranger.stage("other")):
        with pytest.raises(CorruptFile, match="belongs to another unit"):
            ask()


def test_a_result_vouches_for_itself(folder: UnitFolder) -> None:
    folder.finish({"rows": [{"x": float("nan"), "y": 0.1}]}, {"x": torch.zeros(2)})
    folder.write_json("status.json", {"status": "done"})
    assert folder.result is not None and folder.result["rows"] == [{"x": None, "y": 0.1}]
    assert torch.equal(folder.clouds()["x"], torch.zeros(2))
    text = (folder.path / "result.json").read_text(encoding="utf-8")
    folder.write_text("result.json", text.replace("0.1", "0.2"))
    with pytest.raises(CorruptFile, match="was edited"):
        _ = folder.result
    folder.write_text("result.json", text)
    folder.write_tensors("result.safetensors", {"x": torch.ones(2)})
    with pytest.raises(CorruptFile, match="not the file that this run wrote"):
        folder.clouds()


def test_a_run_knows_whether_its_files_are_as_it_wrote_them(tmp_path: Path) -> None:
    run = Run(tmp_path, tmp_path, tmp_path / "units", {})
    assert run.is_whole()
    run.note(files={"a.json": run.write_json("a.json", {"a": 1})})
    assert run.is_whole()
    run.write_json("a.json", {"a": 2})
    with pytest.raises(CorruptFile, match=r"a\.json is not the file"):
        run.is_whole()
    (tmp_path / "a.json").unlink()
    assert not run.is_whole()


def test_progress_is_read_while_it_is_replaced(folder: UnitFolder) -> None:
    assert folder.progress == (0.0, "")
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen.append(folder.progress[0])

    folder.tell(0.5)
    thread = threading.Thread(target=watch)
    thread.start()
    for _ in range(300):
        folder.tell(0.5, "x" * 100)
    over.set()
    thread.join()
    assert seen and set(seen) == {0.5}


# signals


@pytest.fixture(autouse=True)
def no_wish_to_stop() -> Iterator[None]:
    yield
    assert not interrupt._Stop.requested


def test_the_first_signal_asks_and_the_second_insists() -> None:
    import os
    import signal

    before = signal.getsignal(signal.SIGTERM)
    for number in interrupt.SIGNALS:
        with pytest.raises(Interrupted), stoppable():
            os.kill(os.getpid(), number)
            stopped = False
            try:
                stop_if_asked()
            except Interrupted:
                stopped = True
            assert stopped
            os.kill(os.getpid(), number)
        stop_if_asked()  # the wish ends with the block
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_different_signals_are_one_wish() -> None:
    """A batch system sends two at once: a job is not cut off for it."""
    import os
    import signal

    with stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert signal_that_asked() == signal.SIGUSR2
        with pytest.raises(Interrupted):
            stop_if_asked()
    assert signal_that_asked() is None


def test_a_library_that_takes_signals_does_not_keep_them() -> None:
    import signal

    with stoppable():
        ours = signal.getsignal(signal.SIGTERM)
        with handlers_kept():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGTERM) is ours


def test_a_thread_has_no_signals_and_works_all_the_same() -> None:
    done: list[Any] = []

    def work() -> None:
        with stoppable():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]


def test_statuses_are_read_without_torch(tmp_path: Path) -> None:
    import sys

    code = (
        "import sys, sgdtheory.runs.run, sgdtheory.runs.folder; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
