"""Whatever is done to a run: one clear line, nothing lost, nothing half-written believed, and in the end the same bits."""

import functools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.forks import WORDS, Command, Ended, until, warm

MLP = ("train", "model=mlp", "model.hidden=[8]", "sgd.batch_size=32", "minima=2", *WORDS)
SHORT = (*MLP, "sgd.steps=60", "polish=descent", "polish_steps=20")
LONG = (*MLP, "sgd.steps=600")  # half a second of work or more
NO_PICTURES = "import sgdtheory.report.page as report; report.draw = lambda path: path\n"
OFTEN = "import sgdtheory.runs.unit as run; run.CHECKPOINT_SECONDS = 0.02\n"
STOP = """
import sgdtheory.runs.interrupt, sgdtheory.runs.unit as run
real, calls = run.UnitFolder.keep, [0]
def keep(self, *args):
    calls[0] += 1
    sgdtheory.runs.interrupt._Stop.requested = calls[0] == {}
    real(self, *args)
run.UnitFolder.keep = keep
"""


def go(where: Path, *words: str, before: str = "") -> Ended:
    return warm().run(where, *words, before=NO_PICTURES + before)


def start(where: Path, *words: str, before: str = "") -> Command:
    return warm().start(where, *words, before=NO_PICTURES + before)


def the_run(where: Path) -> Path:
    (found,) = (path.parent for path in where.rglob("manifest.json"))
    return found


def units(where: Path) -> list[Path]:
    """The directories of all units, in the order of their index."""
    found = [path.parent for path in where.rglob("unit.json")]
    return sorted(
        found, key=lambda path: json.loads((path / "unit.json").read_text(encoding="utf-8"))["name"]
    )


def bits(where: Path) -> dict[str, Any]:
    """All that a finished run leaves behind and that does not depend on the time."""
    run = the_run(where)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    del results["seconds"]
    found: dict[str, Any] = {
        "results": results,
        "clouds": (run / "minima.safetensors").read_bytes(),
    }
    found |= {name: (run / name).read_bytes() for name in ("metrics.jsonl", "table.csv")}
    found |= {
        f"unit {path.name}": (path / "result.safetensors").read_bytes() for path in units(where)
    }
    left = {path.name for path in where.rglob("*") if re.search(r"\.tmp$|state|stage-", path.name)}
    return found | {"left over": left}


class Whole(NamedTuple):
    """What a run leaves behind that nothing disturbs, and how long it takes."""

    bits: dict[str, Any]
    seconds: float


@functools.cache
def whole(words: tuple[str, ...]) -> Whole:
    with tempfile.TemporaryDirectory() as where:
        warm()
        began = time.monotonic()
        ended = go(Path(where), *words)
        seconds = time.monotonic() - began
        assert ended.code == 0, ended.err
        return Whole(bits(Path(where)), seconds)


def undisturbed(words: tuple[str, ...]) -> dict[str, Any]:
    return whole(words).bits


def completes(where: Path, words: tuple[str, ...]) -> None:
    ended = go(where, *words)
    assert ended.code == 0, ended.err
    assert bits(where) == undisturbed(words)


def told(ended: Ended, code: int, *patterns: str) -> None:
    """One clear message of at most three lines, besides those of its progress."""
    assert ended.code == code, ended
    lines = [
        line
        for line in ended.err.splitlines()
        if not re.match(r"\d+ of \d+ units are done already| *\d+ %  ", line)
    ]
    assert 1 <= len(lines) <= 3 and "Traceback" not in ended.err, ended.err
    for pattern in patterns:
        assert re.search(pattern, ended.err), ended.err


# killed


def killed_at_random(where: Path, words: tuple[str, ...], kills: int) -> int:
    """Kill the command at random times until it has been killed so often; gives how many runs that
    took. Few are killed where it takes longer to kill one than to do it, so the machine decides how
    long that is."""
    chance, done, longest = random.Random(0), 0, 0.8 * whole(words).seconds
    for number in range(1000):
        here = where / str(number)
        here.mkdir()
        while True:
            command = start(here, *words, before=OFTEN)
            if done < kills:
                time.sleep(chance.uniform(0.0, longest))
                command.kill()
            ended = command.end()
            if ended.code == 0:
                break
            assert ended.code == -signal.SIGKILL, ended.err
            assert "Traceback" not in ended.err
            done += 1
        assert bits(here) == undisturbed(words)
        if done >= kills:
            return number + 1
    raise AssertionError("too fast to be killed")


def test_killed_twenty_times_it_comes_to_the_same_bits(tmp_path: Path) -> None:
    killed_at_random(tmp_path, LONG, 20)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [SHORT, LONG, ("train", "landscape=quadratic", "minima=3", *WORDS)]
)
def test_killed_a_hundred_times(tmp_path: Path, words: tuple[str, ...]) -> None:
    killed_at_random(tmp_path, words, 100)


def test_signals_save_and_the_same_command_goes_on(tmp_path: Path) -> None:
    words = (*MLP, "sgd.steps=1500")
    steps = 0
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        command = start(tmp_path, *words)
        before = [path.stat().st_mtime_ns for path in tmp_path.rglob(".progress")]
        assert until(
            lambda seen=before: (
                [path.stat().st_mtime_ns for path in tmp_path.rglob(".progress")] != seen
            )
        )
        command.kill(number)
        ended = command.end()
        told(
            ended,
            130,
            "interrupted; everything so far is kept, the same command goes on from there",
        )
        (unit,) = units(tmp_path)
        assert (
            json.loads((unit / "status.json").read_text(encoding="utf-8"))["status"] == "unfinished"
        )
        rows = (unit / "metrics.jsonl").read_text(encoding="utf-8").count("\n")
        assert (unit / "state.safetensors").exists() and rows >= steps  # it went on from there
        steps = rows
        manifest = json.loads((the_run(tmp_path) / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["status"] == "interrupted" and manifest["seconds"] > 0
    completes(tmp_path, words)


# two processes


def test_a_second_process_on_one_directory_is_refused(tmp_path: Path) -> None:
    words = (*MLP, "sgd.steps=4000")
    first = start(tmp_path, *words)
    assert until(lambda: any(tmp_path.rglob(".progress")))
    told(go(tmp_path, *words), 1, "another process is working on runs/train/mlp-digits-")
    first.kill()
    first.end()
    told(go(tmp_path, *words, before=STOP.format(2)), 130)  # its lock died with it


def test_two_runs_that_share_units_do_each_once(tmp_path: Path) -> None:
    counted = """
from sgdtheory.pipelines.train import Train
real = Train._find
def find(self, index, folder):
    open("done", "a").write(folder.unit.name + "\\n")
    real(self, index, folder)
Train._find = find
"""
    both = [start(tmp_path, *LONG, f"minima={count}", before=counted) for count in (2, 3)]
    ended = [command.end() for command in both]
    assert [e.code for e in ended] == [0, 0], ended
    done = sorted((tmp_path / "done").read_text(encoding="utf-8").splitlines())
    assert done == ["minimum-0", "minimum-1", "minimum-2"]
    assert len(units(tmp_path)) == 3


# workers

PARENT_WAITS = """
import json, os, time
from pathlib import Path
import sgdtheory.execution.units as execute
real = execute.do_unit
def do_unit(*args):
    mine = os.getpid()
    while all(json.loads(path.read_text()).get("pid", mine) == mine for path in Path("runs/units").glob("*/status.json")):
        time.sleep(0.01)
    real(*args)
execute.do_unit = do_unit
"""
TWO = (*MLP, "sgd.steps=1500", "minima=3", "executor.workers=2")


def children(pid: int) -> list[int]:
    try:
        return [
            int(word)
            for word in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        ]
    except OSError:
        return []


def is_gone(pid: int) -> bool:
    try:
        return "sgdtheory" not in Path(f"/proc/{pid}/cmdline").read_text(
            encoding="utf-8"
        )  # a zombie has no command line
    except OSError:
        return True


def working(where: Path, parent: int) -> int | None:
    """The pid of another process than the parent that does a unit now."""
    for path in where.rglob("status.json"):
        status = json.loads(path.read_text(encoding="utf-8"))
        if status["status"] == "running" and status["pid"] != parent:
            return int(status["pid"])
    return None


def test_workers_die_with_their_parent_and_one_that_is_killed_fails_its_unit(
    tmp_path: Path,
) -> None:
    command = start(tmp_path, *TWO)
    assert until(lambda: children(command.pid))
    (worker,) = children(command.pid)  # it is still importing
    command.kill()
    assert until(lambda: is_gone(worker), 2)
    command.end()

    command = start(tmp_path, *TWO, before=PARENT_WAITS)
    assert until(lambda: working(tmp_path, command.pid))
    worker = working(tmp_path, command.pid)
    assert worker is not None
    command.kill()
    assert until(lambda: is_gone(worker), 2)
    command.end()

    for path in tmp_path.rglob("status.json"):
        path.unlink()  # so that the parent waits for a worker again
    command = start(tmp_path, *TWO, before=PARENT_WAITS)
    assert until(lambda: working(tmp_path, command.pid))
    worker = working(tmp_path, command.pid)
    assert worker is not None
    os.kill(worker, signal.SIGSTOP)
    assert working(tmp_path, command.pid) == worker  # it is still in the middle of its unit
    os.kill(worker, signal.SIGKILL)
    told(
        command.end(),
        1,
        r"1 of 3 units failed \(minimum-\d: its worker was killed by signal 9; .*executor.workers=1\); --retry",
    )
    found = sorted(
        json.loads((unit / "status.json").read_text(encoding="utf-8"))["status"]
        for unit in units(tmp_path)
    )
    assert found == ["done", "done", "failed"]

    told(go(tmp_path, *TWO[:-1]), 1, "1 of 3 units failed")  # only when asked for
    ended = go(tmp_path, *TWO[:-1], "--retry-failed")
    assert ended.code == 0, ended.err
    assert bits(tmp_path) == undisturbed(TWO[:-1])


# the disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of its own, made and changed with mount's options."""
    where = tmp_path / "disk"
    where.mkdir()

    def mount(options: str) -> Path:
        how = ["-o", f"remount,{options}"] if where.is_mount() else ["-t", "tmpfs", "-o", options]
        done = subprocess.run(
            ["mount", *how, "none", str(where)], capture_output=True, encoding="utf-8"
        )
        if done.returncode:
            pytest.skip(f"no right to mount: {done.stderr.strip()}")
        return where

    yield mount
    if where.is_mount():
        subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_full_disk(disk: Callable[[str], Path]) -> None:
    where = disk("size=8k")
    for size in (8, 16, 24, 36, 48, 60, 76):
        disk(f"size={size}k")
        told(go(where, *SHORT, before=OFTEN), 1, "No space left on device: .*runs")
    disk("size=10m")
    completes(where, SHORT)


@pytest.mark.parametrize("limit", [1000, 3000, 6000])
def test_a_file_that_may_not_grow(tmp_path: Path, limit: int) -> None:
    before = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    told(go(tmp_path, *SHORT, before=OFTEN + before), 1, "File too large: .*runs/")
    completes(tmp_path, SHORT)


def test_a_disk_that_cannot_be_written(disk: Callable[[str], Path]) -> None:
    where = disk("size=10m")
    go(where, *SHORT, before=STOP.format(70))
    disk("ro")
    told(go(where, *SHORT), 1, "Read-only file system: .*runs/train/mlp-digits")
    told(go(where, *SHORT, "run.root=elsewhere"), 1, "Read-only file system: .*elsewhere")
    disk("rw")
    completes(where, SHORT)
    disk("ro")
    ended = go(where, *SHORT)
    assert ended.code == 0 and "already done" in ended.err
    assert go(where, "status").code == 0


@pytest.mark.parametrize("root", ["/proc/x", "/sys/x", "/dev/null/x"])
def test_a_root_where_nothing_can_be(tmp_path: Path, root: str) -> None:
    told(go(tmp_path, *SHORT, f"run.root={root}"), 1, f": {root}")


# damaged files


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs stopped in the second stage of the first unit, after the first unit, and finished."""
    base = tmp_path_factory.mktemp("prepared")
    for name, stop in (("polishing", STOP.format(70)), ("half", STOP.format(85)), ("done", "")):
        (base / name).mkdir()
        assert go(base / name, *SHORT, before=stop).code == (130 if stop else 0)
    return base


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -len(path.read_bytes()) // 3])


def edit(path: Path) -> None:
    """Another digit in the last number."""
    path.write_text(
        re.sub(
            r"\d(?=\D*$)",
            lambda found: str((int(found.group()) + 1) % 10),
            path.read_text(encoding="utf-8"),
        ),
        encoding="utf-8",
    )


def become(name: str, unit: int = 0) -> Callable[[Path], None]:
    """Be replaced by another file of this unit, or of another one."""

    def replace(path: Path) -> None:
        path.write_bytes((units(path.parents[1])[unit] / name).read_bytes())

    return replace


DAMAGES: list[tuple[str, str, Callable[[Path], None], str]] = [
    ("polishing", "units/0/state.safetensors", truncate, "damaged or truncated"),
    ("polishing", "units/0/stage-train.safetensors", truncate, "damaged or truncated"),
    ("polishing", "units/0/state.safetensors", become("stage-train.safetensors"), ""),
    ("polishing", "units/0/stage-train.safetensors", become("state.safetensors"), "is that of"),
    ("half", "units/1/state.safetensors", become("result.safetensors"), "damaged"),
    ("half", "units/0/result.safetensors", truncate, "not the file that this run wrote"),
    ("half", "units/0/result.json", edit, "was edited or belongs to another unit"),
    ("half", "units/0/status.json", truncate, "damaged"),
    ("done", "run/minima.safetensors", truncate, "not the file that this run wrote"),
    ("done", "run/results.json", edit, "not the file that this run wrote"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "file", "damage", "words"),
    DAMAGES,
    ids=[f"{d[0]}-{d[1]}-{i}" for i, d in enumerate(DAMAGES)],
)
def test_a_damaged_file_is_named_and_never_believed(
    tmp_path: Path,
    prepared: Path,
    state: str,
    file: str,
    damage: Callable[[Path], None],
    words: str,
) -> None:
    where = tmp_path / "here"
    shutil.copytree(prepared / state, where)
    kind, *index, name = file.split("/")
    path = (units(where)[int(index[0])] if kind == "units" else the_run(where)) / name
    assert path.exists()
    damage(path)
    if words:
        ended = go(where, *SHORT)
        told(ended, 1, words, re.escape(str(path.relative_to(where).name)), "delete it")
        path.unlink()  # as it says
    completes(where, SHORT)


def test_swapped_results_are_noticed(tmp_path: Path, prepared: Path) -> None:
    where = tmp_path / "here"
    shutil.copytree(prepared / "done", where)
    (the_run(where) / "minima.safetensors").unlink()
    one, two = (unit / "result.safetensors" for unit in units(where))
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    told(go(where, *SHORT), 1, "result.safetensors is not the file that this run wrote")
    one.write_bytes(kept)  # put back
    completes(where, SHORT)
    one.with_name("result.json").write_bytes(two.with_name("result.json").read_bytes())
    (the_run(where) / "results.json").unlink()
    told(go(where, *SHORT), 1, "result.json was edited or belongs to another unit")
    one.with_name("result.json").unlink()
    completes(where, SHORT)


def test_lost_metrics_are_noticed(tmp_path: Path, prepared: Path) -> None:
    where = tmp_path / "here"
    shutil.copytree(prepared / "polishing", where)
    unit = units(where)[0]
    (unit / "metrics.jsonl").unlink()
    told(
        go(where, *SHORT), 1, r"metrics\.jsonl has 0 of the 70 rows it had: put it back, or delete "
    )
    shutil.rmtree(unit)
    completes(where, SHORT)


KILLED_AT_ITS_RESULT = """
import os, sgdtheory.runs.unit as run
run.UnitFolder.finish = lambda *args: os.kill(os.getpid(), 9)
"""


def test_metrics_that_are_lost_after_the_last_stage_are_noticed(tmp_path: Path) -> None:
    assert go(tmp_path, *SHORT, before=KILLED_AT_ITS_RESULT).code == -signal.SIGKILL
    (unit,) = units(tmp_path)
    (unit / "metrics.jsonl").unlink()
    told(go(tmp_path, *SHORT), 1, r"metrics\.jsonl has 0 of the 80 rows it had: put it back")
    shutil.rmtree(unit)
    completes(tmp_path, SHORT)


@pytest.mark.parametrize("state", ["polishing", "done"])
def test_an_edited_configuration_is_refused(tmp_path: Path, prepared: Path, state: str) -> None:
    where = tmp_path / "here"
    shutil.copytree(prepared / state, where)
    config = the_run(where) / "config.yaml"
    kept = config.read_text(encoding="utf-8")
    config.write_text(kept.replace("steps: 60", "steps: 61"), encoding="utf-8")
    told(go(where, *SHORT), 2, r"config\.yaml was edited since the run began: put it back")
    config.write_text("[", encoding="utf-8")
    told(go(where, *SHORT), 2, r"config\.yaml was edited since the run began: put it back")
    config.write_text(kept, encoding="utf-8")
    completes(where, SHORT)


def test_a_loss_that_is_no_number(tmp_path: Path) -> None:
    words = (*SHORT, "sgd.learning_rate=1e30")
    told(
        go(tmp_path, *words),
        1,
        r"2 of 2 units failed \(minimum-0: the loss is not finite from step \d of train on; lower sgd",
    )
    told(go(tmp_path, *words), 1, "2 of 2 units failed")
    assert all(
        (unit / "metrics.jsonl").read_text(encoding="utf-8") for unit in units(tmp_path)
    )  # the curve until then is kept
    manifest = json.loads((the_run(tmp_path) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["status"] == "failed" and "not finite" in manifest["why"]
