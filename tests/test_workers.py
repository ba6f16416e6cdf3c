"""Workers are kept: from one round of units, and one run, to the next."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import pytest

from sgdtheory.commandline import worker
from sgdtheory.execution import workers
from sgdtheory.execution.executors.local import Local
from sgdtheory.execution.workers import Worker, helpers, why_killed
from sgdtheory.pipelines.train import Train
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import Settings
from sgdtheory.runs.unit import UnitFolder
from tests.conftest import Command
from tests.forks import until

# follows orders as the real one does, and imports nothing: the file of a run is what it was told
IDLER = """
import json, os, sys
from multiprocessing.connection import Connection
orders = Connection(sys.stdin.fileno(), writable=False)
while True:
    try:
        order = orders.recv_bytes()
    except EOFError:
        break
    if order:
        facts = json.loads(order)
        with open(facts["run"] + "/told", "a") as told:
            told.write(str(os.getpid()) + " " + facts["device"] + "\\n")
"""
CPU = Settings(Local(), "cpu")


@pytest.fixture
def idlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers that take a hundredth of a second to start."""
    (tmp_path / "idler.py").write_text(IDLER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(workers, "WORKER", "idler")
    yield
    workers._all_home()


def a_run(tmp_path: Path, name: str) -> Run:
    (tmp_path / name).mkdir(exist_ok=True)
    return Run(tmp_path / name, tmp_path, tmp_path / "units", {"name": name})


def told(run: Run) -> list[str]:
    """What workers heard of a run, once they did."""
    file = run.path / "told"
    assert until(lambda: file.exists() and file.read_text(encoding="utf-8").endswith("\n"))
    return file.read_text(encoding="utf-8").splitlines()


def pids(found: list[Worker]) -> list[int]:
    return [each.process.pid for each in found]


def test_rounds_and_runs_share_their_workers(idlers: None, tmp_path: Path) -> None:
    one, two = a_run(tmp_path, "one"), a_run(tmp_path, "two")
    with helpers(["cpu"], one, CPU, 2) as first:
        assert told(one) == [f"{pids(first)[0]} cpu"]
    with helpers(["cpu", "cuda:1"], two, CPU, 3) as second:
        assert pids(second)[0] == pids(first)[0] != pids(second)[1]
        assert until(lambda: len(told(two)) == 2)
        assert set(told(two)) == {f"{pids(second)[0]} cpu", f"{pids(second)[1]} cuda:1"}
    with helpers(["cpu"], one, CPU, 2) as third:
        assert pids(third) == pids(second)[1:] or pids(third) == pids(second)[:1]


def test_none_are_started_for_nobody(idlers: None, tmp_path: Path) -> None:
    with helpers([], a_run(tmp_path, "one"), CPU, 1) as nobody:
        assert nobody == []


def test_one_that_is_dead_is_replaced_and_named(idlers: None, tmp_path: Path) -> None:
    run = a_run(tmp_path, "one")
    with helpers(["cpu"], run, CPU, 2) as found:
        os.kill(pids(found)[0], signal.SIGKILL)
        assert "killed by signal 9" in why_killed(found, found[0].who)
        assert why_killed(found, found[0].who._replace(start="1")) == ""
        assert why_killed(found, None) == ""
    with helpers(["cpu"], run, CPU, 2) as others:
        assert pids(others) != pids(found)
        assert why_killed([], found[0].who) == ""


def test_one_that_cannot_go_on_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with half of its workers would take twice as long, and nobody would know."""
    (tmp_path / "faulty.py").write_text("raise KeyError('a key of the run')\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(workers, "WORKER", "faulty")
    run = a_run(tmp_path, "one")
    with helpers(["cpu"], run, CPU, 2) as (worker_,):
        worker_.process.wait(30)
    said = capsys.readouterr().err
    assert said == (
        f"warning: a worker process could not go on, others did its units: "
        f"{run.path / 'log.txt'} says why\n"
    )
    assert "KeyError: 'a key of the run'" in (run.path / "log.txt").read_text(encoding="utf-8")


def test_a_fault_sends_them_home(idlers: None, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), helpers(["cpu"], a_run(tmp_path, "a"), CPU, 2) as found:
        raise KeyboardInterrupt
    assert found[0].process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("what", ["folder", "environment", "trust"])
def test_other_surroundings_have_workers_of_their_own(
    what: str, idlers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(tmp_path, "one")
    monkeypatch.chdir(tmp_path)
    with helpers(["cpu"], run, CPU, 2) as found:
        pass
    if what == "folder":
        monkeypatch.chdir(run.path)
    if what == "environment":
        monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    trust = ("json",) if what == "trust" else ()
    with helpers(["cpu"], run, Settings(Local(), "cpu", trust=trust), 2) as others:
        assert pids(others) != pids(found) and found[0].process.returncode is not None


def test_a_thread_keeps_none(idlers: None, tmp_path: Path) -> None:
    """They would be killed when it ends, in the middle of another one's unit."""
    seen: list[Worker] = []

    def work() -> None:
        with helpers(["cpu"], a_run(tmp_path, "one"), CPU, 2) as found:
            seen.extend(found)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0].process.returncode is not None


# the other end


Ends = tuple[Connection, Connection]


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.setattr(worker, "HEAD_START", 0.2)
    monkeypatch.setattr(worker, "IDLE", 0.2)
    theirs, ours = Pipe(duplex=False)
    with theirs, ours:
        yield theirs, ours


def test_the_newest_order_counts(ends: Ends) -> None:
    theirs, ours = ends
    for order in (b"one", b"", b"two", b"three"):
        ours.send_bytes(order)
    assert worker._next_order(theirs, b"") == b"three"


def test_what_is_done_meanwhile_is_not_begun(ends: Ends) -> None:
    theirs, ours = ends
    ours.send_bytes(b"one")
    threading.Timer(0.05, ours.send_bytes, (b"",)).start()
    assert worker._next_order(theirs, b"") is None  # and it leaves after a while


def test_the_same_run_is_gone_on_with_at_once(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEAD_START", 60.0)
    theirs, ours = ends
    ours.send_bytes(b"one")
    began = time.monotonic()
    assert worker._next_order(theirs, b"one") == b"one" and time.monotonic() - began < 30


def test_it_leaves_with_its_parent(ends: Ends) -> None:
    theirs, ours = ends
    ours.send_bytes(b"one")
    ours.close()
    assert worker._next_order(theirs, b"one") is None


def test_it_begins_bare() -> None:
    """A command that is over in half a second imports torch once."""
    from subprocess import run

    code = f"import sys, {worker.__name__}; print(*sorted({{'torch', 'numpy'}} & {{*sys.modules}}))"
    done = run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (0, "\n"), done


# both


@contextmanager
def shared() -> Iterator[list[Worker]]:
    """Have this process wait with its units until others have done one; gives the workers that
    were started."""
    began: list[Worker] = []
    find, started = Train._find, workers._started

    def waiting(self: Train, index: int, folder: UnitFolder) -> None:
        units = folder.path.parent
        before = len(list(units.glob("*/result.json")))
        assert until(lambda: len(list(units.glob("*/result.json"))) > before, 60)
        find(self, index, folder)

    def noted(run: Run) -> Worker:
        began.append(started(run))
        return began[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Train, "_find", waiting)
        patch.setattr(workers, "_started", noted)
        yield began


def test_one_worker_does_units_of_several_runs_and_the_bits_are_the_same(
    sgdtheory: Command,
) -> None:
    words = ["train", "landscape=ring", "minima=2", "sgd.steps=5", "polish=none", "threads=1"]
    words += ["-m", "seed=0,1"]
    with shared() as started:
        assert sgdtheory(*words, "executor.workers=2", "run.root=two").code == 0
    assert len(started) == 1
    assert sgdtheory(*words, "executor.workers=1", "run.root=one").code == 0
    alone, both = (sorted(Path(root).glob("units/*/result.*")) for root in ("one", "two"))
    assert len(alone) == len(both) == 8
    for file, other in zip(alone, both, strict=True):
        assert file.parts[1:] == other.parts[1:] and file.read_bytes() == other.read_bytes()
