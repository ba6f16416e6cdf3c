"""Processes that are killed, whose numbers come again, and directories that are taken away below them."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sgdtheory.execution.loop import execute
from sgdtheory.execution.units import work_through
from sgdtheory.pipelines.train import Train
from sgdtheory.runs import leases, locks, processes
from sgdtheory.runs.folder import CorruptFile, DirectoryGone, Folder
from sgdtheory.runs.processes import Process, machine, started, this
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder
from tests.conftest import Command, call
from tests.forks import warm

FEW = ("device=cpu", "threads=1", "executor.workers=1", "minima=2")
WORDS = ("train", "landscape=double_well", "sgd.steps=20", "polish_steps=20", *FEW)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(path: Path) -> Path:
        Folder(path).write_text("report.html", "drawn")
        return path / "report.html"

    monkeypatch.setattr("sgdtheory.report.page.draw", drawn)


# who a process is


def test_a_process_is_its_number_and_its_start() -> None:
    assert this() == processes.of(os.getpid()) and this().is_alive
    with subprocess.Popen(["sleep", "60"]) as child:
        found = processes.of(child.pid)
        assert found.is_alive and found != this() and found.start
        child.kill()
    assert found.is_alive is False and started(child.pid) == ""
    assert this()._replace(start="1").is_alive is False
    assert this()._replace(machine="another").is_alive is None
    assert Process(*json.loads(json.dumps(this()))) == this()


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen(["true"])
    end = time.monotonic() + 5
    while started(child.pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert started(child.pid) == ""
    child.wait()


ENDING = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that shows this")
def test_a_process_whose_first_thread_alone_has_ended_is_not_over() -> None:
    """Its files are still open, and so are its locks."""
    with subprocess.Popen([sys.executable, "-c", ENDING]) as child:
        stat = Path(f"/proc/{child.pid}/stat")
        end = time.monotonic() + 20
        while stat.read_bytes().rpartition(b")")[2].split()[0] != b"Z" and time.monotonic() < end:
            time.sleep(0.02)
        assert stat.read_bytes().rpartition(b")")[2].split()[0] == b"Z"
        assert started(child.pid) != ""
        child.kill()


def test_names_with_brackets_are_read_past(tmp_path: Path) -> None:
    odd = tmp_path / "a) R (b"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", odd)
    with subprocess.Popen([odd, "60"]) as child:
        plain = processes.of(os.getpid()).start
        assert started(child.pid).isdigit() and abs(int(started(child.pid)) - int(plain)) < 10**7
        child.kill()


def test_without_proc_ps_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    if shutil.which("ps") is None:
        assert started(os.getpid()) == ""
        return
    assert started(os.getpid()) == started(os.getpid()) != "" and started(99999999) == ""


# a worker that is not ours any more


def nothing(folder: UnitFolder) -> None:
    """The work of a unit that takes no time."""
    folder.finish({}, {})


def test_a_number_that_came_again_is_not_waited_for(tmp_path: Path) -> None:
    """The unit was left by a process whose number a living child of this one has now."""
    from sgdtheory.execution.executors.local import (
        Local,  # its `killed` sees (number, start) as here
    )

    run, unit = (
        Run(tmp_path / "run", tmp_path, tmp_path / "units", {}),
        Unit("one", {"a": 1}, nothing),
    )
    assert Local is not None
    with subprocess.Popen(["sleep", "60"]) as child:
        left = processes.of(child.pid)._replace(start="1")
        Folder(run.folder(unit).path).write_json(
            "status.json", {"status": "running", "pid": child.pid, "worker": left}
        )
        others = {processes.of(child.pid): child}
        asked: list[bool] = []

        def killed(process: Process | None) -> str:
            asked.append(process in others)
            return ""

        work_through(run, [unit], killed)
        child.kill()
    assert asked == [False] and run.folder(unit).status["status"] == "done"


def unshared(where: Path, *words: str) -> "subprocess.Popen[str]":
    """The command as the second process of a namespace of its own: its numbers are the same every time."""
    call = [
        "unshare",
        "-pf",
        "--mount-proc",
        "--kill-child",
        sys.executable,
        "-P",
        "-c",
        "from sgdtheory.entry import main; main()",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*call, *words],
        cwd=where,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        encoding="utf-8",
        env=environment,
    )


def can_unshare() -> bool:
    try:
        return (
            subprocess.run(
                ["unshare", "-pf", "--mount-proc", "true"], capture_output=True
            ).returncode
            == 0
        )
    except OSError:
        return False


@pytest.mark.skipif(not can_unshare(), reason="no namespaces of process numbers may be made here")
def test_killed_in_a_container_it_starts_again(tmp_path: Path) -> None:
    words = (
        "train",
        "model=mlp",
        "model.hidden=[8]",
        "sgd.steps=9000",
        "minima=4",
        "executor.workers=2",
        "threads=1",
        "device=cpu",
    )

    def running() -> list[int]:
        found = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in tmp_path.glob("runs/units/*/status.json")
        ]
        return [status["pid"] for status in found if status["status"] == "running"]

    def two() -> bool:
        try:
            return len(running()) == 2
        except (ValueError, OSError):
            return False

    pids = []
    for _ in range(2):
        command = unshared(tmp_path, *words)
        end = time.monotonic() + 90
        while not two() and time.monotonic() < end and command.poll() is None:
            time.sleep(0.02)
        assert command.poll() is None and two(), command.communicate()[1]
        pids.append(sorted(running()))
        command.kill()
        command.wait()
        time.sleep(0.3)
    assert pids[0] == pids[1]  # numbers came again, and nobody was waited for


# locks that do not lock


def no_locks(descriptor: int, how: int) -> None:
    raise OSError(37, "No locks available")


def always(descriptor: int, how: int) -> None:
    pass


@pytest.fixture(params=[no_locks, always], ids=["none", "always"])
def lockless(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, int], None]:
    monkeypatch.setattr(fcntl, "flock", request.param)
    return request.param  # type: ignore[no-any-return]


def test_a_lease_holds_where_no_lock_does(lockless: Any, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a")
    assert not folder.is_locked()
    with folder.lock() as mine:
        assert mine and folder.is_locked()
        began = time.monotonic()
        with folder.lock() as second:
            assert not second
        assert time.monotonic() - began < 0.5
        folder.write_text("x", "y")
    assert not folder.is_locked() and not (folder.path / leases.LEASE).exists()
    with folder.lock() as mine:
        assert mine


def test_a_lease_of_a_dead_process_is_taken_at_once(lockless: Any, tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    for holder in (Process(machine(), dead.pid, "1"), this()._replace(start="1")):
        (tmp_path / leases.LEASE).write_text(
            json.dumps({"holder": holder, "token": "x", "beat": 3}), encoding="utf-8"
        )
        assert not Folder(tmp_path).is_locked()
        began = time.monotonic()
        with Folder(tmp_path).lock() as mine:
            assert mine and time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    "content", ["", json.dumps({"holder": ["elsewhere", 5, "7"], "token": "x", "beat": 3})]
)
def test_a_lease_from_elsewhere_without_signs_of_life(
    content: str, lockless: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "PATIENCE", 0.3)
    lease = tmp_path / leases.LEASE
    lease.write_text(content, encoding="utf-8")
    (tmp_path / locks.LOCK).touch()
    over = threading.Event()

    def beat() -> None:
        count = 3
        while not over.wait(0.05):
            count += 1
            lease.write_text(
                json.dumps({"holder": ["elsewhere", 5, "7"], "token": "x", "beat": count}),
                encoding="utf-8",
            )

    living = threading.Thread(target=beat, daemon=True)
    living.start()
    time.sleep(0.1)
    assert Folder(tmp_path).is_locked()
    with Folder(tmp_path).lock() as mine:
        assert not mine
    over.set()
    living.join()
    with Folder(tmp_path).lock() as mine:  # it has died
        assert mine


def test_a_holder_that_was_taken_for_dead_writes_no_more(
    lockless: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", 100.0)
    folder = Folder(tmp_path / "a")
    with (
        pytest.raises(DirectoryGone, match="was taken over by another process"),
        folder.lock() as mine,
    ):
        assert mine
        (folder.path / leases.LEASE).write_text(
            json.dumps({"holder": this(), "token": "another"}), encoding="utf-8"
        )
        folder.write_text("x", "y")
    assert (folder.path / leases.LEASE).exists()  # the other one's


def test_no_lease_where_locks_lock(tmp_path: Path) -> None:
    with Folder(tmp_path).lock() as mine:
        assert mine and sorted(path.name for path in tmp_path.iterdir()) == [".lock"]


LOCKLESS = """
import fcntl
def flock(descriptor, how):
    {}
fcntl.flock = flock
import sgdtheory.report.page as report
report.draw = lambda path: path
"""


@pytest.mark.parametrize("what", ["raise OSError(37, 'No locks available')", "pass"])
def test_three_processes_without_locks_write_every_row_once(what: str, tmp_path: Path) -> None:
    words = ("train", "model=mlp", "model.hidden=[8]", "sgd.batch_size=32", "sgd.steps=300", *FEW)
    before = LOCKLESS.format(what)
    commands = [warm().start(tmp_path, *words, f"run.name=r{k}", before=before) for k in range(3)]
    ended = [command.end() for command in commands]
    assert [each.code for each in ended] == [0, 0, 0], ended
    logs = [path.read_bytes() for path in tmp_path.glob("runs/train/*/metrics.jsonl")]
    assert len(logs) == 3 and len({*logs}) == 1
    rows = [json.loads(line) for line in logs[0].splitlines()]
    steps = [(row["unit"], row["step"]) for row in rows]
    assert len(steps) == len({*steps}) > 100
    assert not list(tmp_path.rglob(".lease*"))


# directories


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Have something happen while the last unit is done."""

    def arrange(happens: Callable[[], None]) -> None:
        real = Train._find

        def find(self: Train, index: int, folder: UnitFolder) -> None:
            real(self, index, folder)
            if folder.unit.name == "minimum-1":
                happens()

        monkeypatch.setattr(Train, "_find", find)

    return arrange


def the_run() -> Path:
    return next(iter(Path("runs/train").iterdir()))


@pytest.mark.parametrize("fate", ["moved", "deleted", "replaced"])
def test_a_run_whose_directory_goes_is_not_done(
    fate: str, sgdtheory: Command, during: Any, no_pictures: None
) -> None:
    def happens() -> None:
        path = the_run()
        if fate == "deleted":
            shutil.rmtree(path)
        else:
            path.rename("elsewhere")
        if fate == "replaced":
            shutil.copytree("elsewhere", path)

    during(happens)
    said = sgdtheory(*WORDS)
    assert (
        said.code == 1
        and "was moved, deleted or replaced while it was worked on" in said.err
        and not said.out
    )
    assert len(said.err.splitlines()) == 1
    assert fate == "replaced" or not any(
        Path("runs/train").iterdir()
    )  # no half of it was made again


def test_and_the_same_command_goes_on(
    sgdtheory: Command, during: Any, no_pictures: None, tmp_path: Path
) -> None:
    gone: list[int] = []

    def happens() -> None:
        if not gone:
            gone.append(1)
            the_run().rename("elsewhere")

    during(happens)
    assert sgdtheory(*WORDS).code == 1
    said = sgdtheory(*WORDS)
    assert said.code == 0 and "2 of 2 units are done already" in said.err
    assert "interrupted" in sgdtheory("status", "elsewhere").out


def test_a_unit_whose_directory_goes(sgdtheory: Command, during: Any, no_pictures: None) -> None:
    during(lambda: [shutil.rmtree(path) for path in Path("runs/units").iterdir()] and None)
    said = sgdtheory(*WORDS)
    assert said.code == 1 and "was moved, deleted or replaced" in said.err
    assert sgdtheory("status").code == 0


OTHERS = {
    "config.yaml": "hydra: mine\n", "manifest.json": '{"name": "my page"}', "results.json": "[1]", ".notes.tmp": "x",
    "thesis.tex": "x", ".config.yaml.12.tmp": "x", "units/mine.txt": "x",
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_directory_of_the_users_own_is_left_alone(name: str, sgdtheory: Command) -> None:
    path = Path("mine", name)
    path.parent.mkdir(parents=True)
    path.write_text(OTHERS[name], encoding="utf-8")
    said = sgdtheory(*WORDS, "run.dir=mine")
    assert (
        said.code == 2
        and "mine holds something that is no run" in said.err
        and len(said.err.splitlines()) == 1
    )
    assert path.read_text(encoding="utf-8") == OTHERS[name]
    assert [each for each in Path("mine").rglob("*") if each.is_file()] == [path]


def test_a_file_of_the_users_own_where_a_run_should_be(sgdtheory: Command) -> None:
    Path("mine").write_text("x", encoding="utf-8")
    assert (
        sgdtheory(*WORDS, "run.dir=mine").code == 2
        and Path("mine").read_text(encoding="utf-8") == "x"
    )


def test_what_the_user_adds_to_a_run_stays(sgdtheory: Command, no_pictures: None) -> None:
    assert sgdtheory(*WORDS, "run.dir=mine").code == 0
    added = {"notes.md": "x", ".notes.tmp": "y", "figures/own.svg": "z"}
    for name, text in added.items():
        Path("mine", name).parent.mkdir(exist_ok=True)
        Path("mine", name).write_text(text, encoding="utf-8")
    Path("mine/minima.safetensors").unlink()
    assert sgdtheory(*WORDS, "run.dir=mine").code == 0 and Path("mine/minima.safetensors").exists()
    assert {name: Path("mine", name).read_text(encoding="utf-8") for name in added} == added


def test_a_page_is_written_over_pages_alone(sgdtheory: Command) -> None:
    assert sgdtheory(*WORDS).code == 0
    run = str(the_run())
    Path("thesis.tex").write_text("x", encoding="utf-8")
    for words in ([run], [run, run]):
        said = sgdtheory("report", *words, "--out", "thesis.tex")
        assert said.code == 2 and "is no report" in said.err
        assert Path("thesis.tex").read_text(encoding="utf-8") == "x"
    for _ in range(2):
        assert sgdtheory("report", run, "--out", "page.html").code == 0
    assert sgdtheory("report", run, "--out", "runs").code == 2


# killed at its very beginning


def test_killed_between_its_first_two_files(
    sgdtheory: Command, no_pictures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    real = Folder.write_text

    def write(self: Folder, name: str, text: str) -> str:
        if name == "config.yaml":
            raise Killed
        return real(self, name, text)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "write_text", write)
        with pytest.raises(Killed):
            from sgdtheory.commandline.front import launch
            from sgdtheory.report.progress import Watcher

            def job(task: Any) -> None:
                execute(task, Watcher(0))

            launch("train", [*WORDS[1:], "run.dir=mine"], (), None, job)
    assert Path("mine/manifest.json").exists() and not Path("mine/config.yaml").exists()
    assert sgdtheory(*WORDS, "run.dir=mine").code == 0 and Path("mine/config.yaml").exists()


LOADING = """
import os, sys
from sgdtheory import entry
class Interrupts:
    def find_spec(self, *_):
        os.kill(os.getpid(), 2)
sys.meta_path.insert(0, Interrupts())
entry.main()
"""
SOON = """
import threading, os
threading.Timer(0.15, os.kill, (os.getpid(), 2)).start()
from sgdtheory.entry import main
main()
"""


@pytest.mark.parametrize("code", [LOADING, SOON])
def test_interrupted_in_its_first_moments(code: str, tmp_path: Path) -> None:
    call = [sys.executable, "-c", code, *WORDS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        call, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60, env=environment
    )
    assert done.returncode == 130 and "Traceback" not in done.stderr, done
    assert done.stderr.startswith("interrupted") and len(done.stderr.splitlines()) == 1


def test_a_clock_that_is_set_back(
    sgdtheory: Command, no_pictures: None, during: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift = [0.0]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - shift[0])
    during(lambda: shift.__setitem__(0, 7200.0))
    assert sgdtheory(*WORDS).code == 0
    units = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in Path("runs/units").glob("*/status.json")
    ]
    found = [
        json.loads((the_run() / name).read_text(encoding="utf-8"))
        for name in ("manifest.json", "results.json")
    ]
    assert all(0 <= each["seconds"] < 100 for each in (*units, *found))
    assert "0 s ago" in sgdtheory("status").out


# damaged, copied, half deleted


def test_one_damaged_run_hides_no_other(sgdtheory: Command, no_pictures: None) -> None:
    for seed in range(4):
        assert sgdtheory(*WORDS, f"seed={seed}", f"run.name=r{seed}").code == 0
    runs = sorted(Path("runs/train").iterdir())
    for file, text in (
        (runs[0] / "manifest.json", "{"),
        (runs[1] / "units.json", '{"a": 1}'),
        (runs[2] / "manifest.json", '{"status": 5}'),
    ):
        file.write_text(text, encoding="utf-8")
    unit = json.loads((runs[3] / "units.json").read_text(encoding="utf-8"))[0]["directory"]
    (runs[3] / unit / "status.json").write_text("[", encoding="utf-8")
    said = sgdtheory("status")
    assert said.code == 0 and said.out.count("damaged") >= 6 and not said.err
    for name in ("manifest.json is damaged", "units.json is damaged", "r3"):
        assert name in said.out.replace("\n  ", " ")
    assert "damaged" in sgdtheory("status", str(runs[3])).out


def test_a_run_that_was_copied_is_described_as_it_is(
    sgdtheory: Command, no_pictures: None, tmp_path: Path
) -> None:
    assert sgdtheory(*WORDS).code == 0
    shutil.copytree(the_run(), tmp_path / "far" / "away" / "copy")
    said = sgdtheory("status", "far/away/copy")
    assert said.code == 0 and "· done · 2/2 ·" in said.out and "missing" not in said.out
    shutil.copytree("runs", "again")
    assert "2/2" in sgdtheory("status", str(next(iter(Path("again/train").iterdir())))).out


def test_runs_on_another_disk_behind_a_link(
    sgdtheory: Command, no_pictures: None, tmp_path: Path
) -> None:
    (tmp_path / "disk" / "deep" / "er").mkdir(parents=True)
    Path("runs").mkdir()
    Path("runs/train").symlink_to(tmp_path / "disk" / "deep" / "er")
    said = sgdtheory(*WORDS[:-2], "executor.workers=2", "minima=2")
    assert said.code == 0, said
    assert "2/2" in sgdtheory("status").out and "already done" in sgdtheory(*WORDS).err
    assert (
        len(list(Path("runs/units").iterdir())) == 2 and not (tmp_path / "disk" / "units").exists()
    )
    assert not (tmp_path / "disk" / "deep" / "units").exists()
    import sgdtheory as package

    assert len(package.load(the_run()).minima) == 2


def test_what_is_drawn_is_drawn_again_when_it_is_gone(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("train", "model=mlp", "model.hidden=[4]", "sgd.steps=5", "sgd.batch_size=4", *FEW)
    said = sgdtheory(*words)
    assert said.code == 0 and "report: " in said.out
    run = the_run()
    figure = sorted(run.glob("figures/*.svg"))[0]
    for file in (run / "report.html", figure, run / "table.csv", figure.with_suffix(".csv")):
        kept = file.read_bytes()
        file.unlink()
        said = sgdtheory(*words)
        assert said.code == 0 and file.read_bytes() == kept and "report: " in said.out
    (run / "report.html").unlink()
    monkeypatch.setattr("sgdtheory.report.page.draw", lambda path: path)
    assert "report: " not in sgdtheory(*words).out  # it is announced when it is there


def test_damage_to_a_unit_is_named_while_it_is_done(tmp_path: Path) -> None:
    run, unit = (
        Run(tmp_path / "run", tmp_path, tmp_path / "units", {}),
        Unit("one", {"a": 1}, nothing),
    )
    Folder(run.folder(unit).path).write_text("status.json", "[]")
    with pytest.raises(CorruptFile, match=r"status\.json is damaged"):
        work_through(run, [unit])


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Path]:
    """Two hundred runs of five units."""
    results = {
        "claims": [{"name": "x", "statement": "so it is " * 10, "holds": True}],
        "minima": [{"x": 0.1}] * 60,
    }
    for k in range(200):
        run, rows = Folder(tmp_path / f"runs/train/r{k}"), []
        for j in range(5):
            Folder(tmp_path / f"runs/units/{k}-{j}").write_json(
                "status.json", {"status": "done", "seconds": 1.0}
            )
            rows.append(
                {
                    "name": f"minimum-{j}",
                    "hash": "x",
                    "directory": f"../../units/{k}-{j}",
                    "status": "done",
                }
            )
        run.write_json("units.json", rows)
        files = {
            "results.json": run.write_json("results.json", results),
            "table.csv": run.write_text("table.csv", "x\n" * 60),
        }
        run.write_json("manifest.json", {"status": "done", "finished": 1.0, "files": files})
    yield tmp_path


def test_two_hundred_runs_are_listed_at_once(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the calls that Python makes: seconds of a shared machine differ by a factor of two. On an
    EPYC 1,150 calls a run are .1 s for all of them, beside .3 s in which the command starts."""
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    monkeypatch.chdir(nowhere)
    start, _ = _calls()
    monkeypatch.chdir(many)
    calls, said = _calls()
    assert said.count("5/5") == 200
    assert (calls - start) / 200 < 1300


def _calls() -> tuple[int, str]:
    """How many calls `sgdtheory status` makes when all modules are there, and what it says."""
    call("status")
    count = 0

    def counted(frame: object, event: str, what: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        said = call("status")
    finally:
        sys.setprofile(None)
    return count, said.out


def test_what_is_done_is_known_without_torch(tmp_path: Path) -> None:
    """The second start builds no landscape: under .8 s of CPU on two cores of a shared EPYC, which is
    at most three starts of the command that says its version."""
    words = [
        "train",
        "landscape=ring",
        "minima=2",
        "sgd.steps=3",
        "executor.workers=1",
        "threads=1",
    ]
    first = warm().run(tmp_path, *words)
    code = "import sys; from sgdtheory.cli import main\ntry:\n main()\nfinally:\n print('torch' in sys.modules)"
    second = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert (first.code, second.returncode) == (0, 0)
    assert "already done" in second.stderr and second.stdout.splitlines()[-1] == "False"
    assert second.stdout.splitlines()[:-1] == first.out.splitlines()
    # what else decides what is computed: an edited configuration, a deleted file
    (run,) = (tmp_path / "runs/train").iterdir()
    (run / "config.yaml").write_text(
        (run / "config.yaml").read_text(encoding="utf-8") + "# x\n", encoding="utf-8"
    )
    third = warm().run(tmp_path, *words)
    assert third.code == 2 and "was edited" in third.err
