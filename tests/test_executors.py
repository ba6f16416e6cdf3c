"""Who does the units: on GPUs one worker each, as shares of jobs, and what is said of jobs that Slurm has."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sgdtheory.commandline.job import do_share
from sgdtheory.errors import RunError
from sgdtheory.execution.executors import local, ray, slurm
from sgdtheory.execution.executors.local import Local
from sgdtheory.execution.loop import execute
from sgdtheory.execution.machine import devices_of
from sgdtheory.report.progress import Watcher
from sgdtheory.report.status import show_status
from sgdtheory.report.units_now import units_now
from sgdtheory.runs import jobs
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.jobs import GONE, Job, Seen, jobs_of, note_jobs, states_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import Settings, Share, Task
from sgdtheory.runs.unit import Unit, UnitFolder
from tests.conftest import Command
from tests.test_configs import compose, task

WORDS = ("train", "landscape=double_well", "minima=2", "sgd.steps=40")
HERE = ("threads=1", "device=cpu")


# GPUs


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8, 9])
def test_gpus_are_given_out_evenly(count: int, workers: int) -> None:
    """None has two units at once while another has none."""
    given = devices_of("cuda", workers, count)
    shares = Counter(given)
    assert len(given) == workers and len(shares) == min(workers, count)
    assert max(shares.values()) - min(shares.values()) <= 1


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_device_that_was_named_is_that_of_all(device: str) -> None:
    assert devices_of(device, 3, 4) == [device] * 3


@pytest.mark.parametrize(
    ("device", "count", "workers"), [("cuda", 4, 4), ("cuda", 0, 1), ("cuda:1", 4, 1)]
)
def test_one_worker_a_gpu(
    device: str, count: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "cards", lambda: count)
    assert Local().count(Settings(Local(), device)) == workers
    assert Local(2).count(Settings(Local(), device)) == 2


@pytest.mark.slow
def test_workers_do_their_units_on_their_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of them, with the CPU by three names."""
    asked: list[tuple[str, int, int]] = []

    def devices(device: str, workers: int, count: int) -> list[str]:
        asked.append((device, workers, count))
        return ["cpu", "cpu:0", "cpu:1"]

    monkeypatch.setattr(local, "cards", lambda: 3)
    monkeypatch.setattr(local, "devices_of", devices)
    found = [opened(tmp_path / name, "minima=3", "sgd.steps=4000") for name in ("one", "three")]
    for each, workers in zip(found, (1, 3), strict=True):
        settings = replace(each.settings, executor=Local(workers), threads=workers)
        execute(each._replace(settings=settings), Watcher(0))
    paths = [each.open().path / "minima.safetensors" for each in found]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert asked == [("cpu", 1, 3), ("cpu", 3, 3)]


# shares


@dataclass(frozen=True)
class Shared:
    """Each unit as a share of its own, one after the other."""

    def count(self, settings: Settings) -> int:
        return 1

    def do(self, run: Run, settings: Settings, pending: list[Unit]) -> None:
        for unit in pending:
            path = str(run.path.absolute())
            do_share(Share(path, str(Path.cwd()), "cpu", 1, (), (unit.hash,)))


def opened(where: Path, *more: str) -> Task:
    words = (f"run.root={where}", *WORDS[1:], *HERE, *more)
    return task("train", compose("train", *words), overrides=words)


def test_a_share_is_done_as_here(tmp_path: Path) -> None:
    found = [opened(tmp_path / name) for name in ("here", "shared")]
    shared = found[1]._replace(settings=replace(found[1].settings, executor=Shared()))
    for each in (found[0], shared):
        execute(each, Watcher(0))
    paths = [each.open().path / "minima.safetensors" for each in found]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_share_of_another_run_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sgdtheory.commandline.job.PATIENCE", 0.0)
    found = opened(tmp_path)
    execute(found, Watcher(0))
    share = Share(str(found.open().path.absolute()), str(Path.cwd()), "cpu", 1, (), ("0" * 16,))
    with pytest.raises(RunError, match="no unit of this run"):
        do_share(share)


def test_what_jobs_need_is_imported_by_nobody_else() -> None:
    code = (
        "import sys, sgdtheory.cli, sgdtheory.report.status;"
        "import sgdtheory.execution.executors.ray, sgdtheory.execution.executors.slurm;"
        "sys.exit(bool({'ray', 'submitit', 'cloudpickle'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ["slurm", "ray"])
def test_without_it_one_line_says_what_to_do(
    name: str, sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = {"slurm": slurm, "ray": ray}[name]
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(slurm.shutil, "which", lambda name: "/usr/bin/sbatch")
    said = sgdtheory(*WORDS, *HERE, f"executor={name}", "--quiet")
    assert said.code == 2 and f"pip install 'sgdtheory[{name}]'" in said.err
    assert len(said.err.splitlines()) == 1


def test_without_slurm_it_is_refused(sgdtheory: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm.shutil, "which", lambda name: None)
    said = sgdtheory(*WORDS, *HERE, "executor=slurm", "--quiet")
    assert said.code == 2 and "there is no sbatch here" in said.err


def test_what_sbatch_is_told() -> None:
    run = Run(Path("runs/train/mlp-1"), Path("runs"), Path("runs/units"), {})
    told = slurm.Slurm("long", 30, 2, 1, 1.5, 8, ("module load cuda",))._parameters(run)
    assert told == {
        "job_name": "mlp-1", "partition": "long", "time": 30, "cpus_per_task": 2, "gpus_per_node": 1, "mem": "1536MB",
        "array_parallelism": 8, "signal_delay_s": 90, "stderr_to_stdout": True, "setup": ["module load cuda"],
    }  # fmt: skip


# jobs, by a squeue that says what it is told to say


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a `squeue` prints that stands in for Slurm's, of the same format."""
    said = tmp_path / "said"
    program = tmp_path / "bin/squeue"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat {said}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return said


def test_what_slurm_says_of_jobs(squeue: Path) -> None:
    squeue.write_text(
        "7_1|RUNNING|node3|None\n7_2|PENDING||Resources\n7_9|RUNNING|node1|None\n8|TIMEOUT|node2|x|y\n",
        encoding="utf-8",
    )
    found = states_of(["7_1", "7_2", "7_3", "8"])
    assert found == {
        "7_1": Seen("RUNNING", "node3", "None"),
        "7_2": Seen("PENDING", "", "Resources"),
        "7_3": GONE,
        "8": Seen("TIMEOUT", "node2", "x"),
    }
    assert [seen.is_living for seen in found.values()] == [True, True, False, False]


@pytest.mark.parametrize(
    ("script", "known"),
    [("exit 1", None), ("echo 'Invalid job id specified' >&2; exit 1", {"7": GONE})],
)
def test_slurm_that_does_not_answer(
    script: str, known: dict[str, Seen] | None, squeue: Path
) -> None:
    program = squeue.parent / "bin/squeue"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    assert states_of(["7"]) == known


def test_where_there_is_no_slurm_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert states_of(["7"]) is None and states_of([]) == {}


def test_what_is_no_job_is_left_out(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    note_jobs(folder, {"a": Job("7_1", 3)})
    said = folder.read_object(jobs.JOBS)
    folder.write_json(
        jobs.JOBS,
        {
            **said,
            "b": {"id": "7; rm", "newest": 0},
            "c": 7,
            "d": {"id": "7"},
            "e": {"id": "1", "newest": "x"},
        },
    )
    assert jobs_of(folder) == {"a": Job("7_1", 3)}


STATES = {
    "7_0": "7_0|RUNNING|node3|None",
    "7_1": "7_1|PENDING||Priority",
    "7_2": "7_2|FAILED|node2|NonZeroExitCode",
}


def rows_of(tmp_path: Path, status: str, run: str = "running") -> list[str]:
    """(status, where) of three units that have jobs and one that has none."""
    folder = Folder(tmp_path / "run")
    note_jobs(folder, {f"u{k}": Job(f"7_{k}") for k in range(3)})
    rows = [{"name": f"unit-{k}", "hash": f"u{k}", "status": status} for k in range(4)]
    (now,) = units_now([(folder, run, rows)])
    return [f"{row['status']}: {row.get('where', '')}" for row in now]


def test_units_that_wait_say_for_what(tmp_path: Path, squeue: Path) -> None:
    squeue.write_text("\n".join(STATES.values()), encoding="utf-8")
    assert rows_of(tmp_path, "missing") == [
        "running: node3, job 7_0",
        "queued: job 7_1 (Priority)",
        "missing: job 7_2 is over (FAILED)",
        "queued: ",
    ]
    assert rows_of(tmp_path, "unfinished", "interrupted")[1:] == [
        "queued: job 7_1 (Priority)",
        "unfinished: job 7_2 is over (FAILED)",
        "unfinished: ",
    ]
    assert rows_of(tmp_path, "failed")[0] == "failed: jobs/7_0_0_log.out"
    assert rows_of(tmp_path, "done", "done")[0] == "done: "


def test_programs_are_told_it_too(
    tmp_path: Path, squeue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    squeue.write_text(STATES["7_0"], encoding="utf-8")
    run = Folder(tmp_path / "runs/train/r")
    note_jobs(run, {"u0": Job("7_0")})
    run.write_json("units.json", [{"name": "minimum-0", "hash": "u0", "directory": "u"}])
    run.write_json("manifest.json", {"status": "running", "started": 0})
    show_status([run.path], tmp_path / "runs", as_json=True)
    ((unit,),) = [row["units"] for row in json.loads(capsys.readouterr().out)]
    assert (unit["status"], unit["where"]) == ("running", "node3, job 7_0")


def why(tmp_path: Path, state: str, newest: int = 0) -> str:
    """Why a unit has failed that has kept a state of late, whose job ended in this state."""
    run = Run(tmp_path / "run", tmp_path, tmp_path / "units", {})
    unit = Unit("one", {"a": 1})
    folder = UnitFolder(run.folder(unit).path, unit)
    folder.write_bytes("state.safetensors", b"x")
    os.utime(folder.path / "state.safetensors", ns=(5, 5))
    log = Folder(run.path / jobs.LOGS)
    log.write_text("7_0_0_log.out", "first\nlast words\n\n")
    return slurm._why_failed(run, unit, Job("7_0", newest), Seen(state))


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL", "CANCELLED", "GONE", "TIMEOUT"])
def test_what_is_gone_on_with(state: str, tmp_path: Path) -> None:
    assert why(tmp_path, state) == ""


@pytest.mark.parametrize("state", ["FAILED", "OUT_OF_MEMORY", "COMPLETED"])
def test_what_has_failed(state: str, tmp_path: Path) -> None:
    said = why(tmp_path, state)
    assert f"job 7_0 ended as {state}" in said and said.endswith("7_0_0_log.out): last words")


def test_a_job_that_got_nowhere_in_its_time_is_not_begun_again(tmp_path: Path) -> None:
    assert "longer executor.time" in why(tmp_path, "TIMEOUT", newest=5)


@pytest.mark.slow
def test_ten_thousand_units_are_told_of(tmp_path: Path, sgdtheory: Command) -> None:
    """In two seconds of a quiet core; three times that here, beside other tests."""
    run, rows = Folder(tmp_path / "runs/train/r"), []
    for k in range(10_000):
        folder = tmp_path / f"runs/units/{k}"
        folder.mkdir(parents=True)
        (folder / "status.json").write_text('{"status": "done", "seconds": 1.0}', encoding="utf-8")
        where = f"../../units/{k}"
        rows.append({"name": f"minimum-{k}", "hash": f"{k}", "directory": where, "status": "done"})
    run.write_json("units.json", rows)
    run.write_json("manifest.json", {"status": "interrupted", "started": time.time()})
    began = time.process_time()
    said = sgdtheory("status")
    assert time.process_time() - began < 6.0 and "10000/10000" in said.out, said
    assert json.loads((run.path / "units.json").read_text(encoding="utf-8")) == rows
