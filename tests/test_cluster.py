"""Slurm: whatever becomes of its jobs and of who submitted them, the files are those of `executor=local`, to the bit.

A Slurm of one node will do, with a partition `urgent` before which others make room.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAIN = ("-P", "-c", "from sgdtheory.entry import main; main()")
HERE = ("threads=1", "device=cpu")
SLURM = ("executor=slurm", "executor.jobs=2")
STEPS = 60_000  # some twenty seconds for each minimum on a core of 2020
TRAIN = ("train", "model=mlp", f"sgd.steps={STEPS}", "sgd.batch_size=32", "minima=2", *HERE)
QUICK = (
    "autoneb.steps=20",
    "autoneb.last_steps=20",
    "autoneb.retries=0",
    "baselines.gradients=20",
    "plane=0",
)
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def begin(where: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *MAIN, *words],
        cwd=where,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )


def end(command: "subprocess.Popen[str]", seconds: float = 400) -> tuple[int, str]:
    out, err = command.communicate(timeout=seconds)
    return command.returncode, out + err


def run(where: Path, *words: str) -> tuple[int, str]:
    return end(begin(where, *words))


def bits(where: Path) -> dict[str, Any]:
    """All that finished runs leave behind and that does not depend on the time."""
    found: dict[str, Any] = {}
    for file in sorted(where.glob("*/*/results.json")):
        results = json.loads(file.read_text(encoding="utf-8"))
        found[str(file.relative_to(where))] = {**results, "seconds": 0, "minima_from": None}
    for name in ("*/*/metrics.jsonl", "*/*/table.csv", "**/*.safetensors"):
        found |= {str(path.relative_to(where)): path.read_bytes() for path in where.glob(name)}
    return found


def same(where: Path) -> bool:
    whole, expected = bits(where / "slurm"), bits(where / "local")
    assert len(expected) > 3 and whole.keys() == expected.keys()
    return all(whole[name] == expected[name] for name in expected)


def slurm(*words: str) -> str:
    return subprocess.run(words, capture_output=True, encoding="utf-8", check=True).stdout


def until(true: Callable[[], Any], seconds: float = 120.0) -> Any:
    last = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < last, "it has not come to pass"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("local")
    assert run(where, *TRAIN, "run.root=local")[0] == 0
    return where


@pytest.fixture
def place(local: Path, tmp_path: Path) -> Path:
    (tmp_path / "local").symlink_to(local / "local")
    return tmp_path


def steps_for(seconds: float, where: Path) -> int:
    """So many steps that a minimum takes this long here, by the run that was not disturbed."""
    (manifest,) = where.glob("local/train/*/manifest.json")
    found = json.loads(manifest.read_text(encoding="utf-8"))
    return int(STEPS * seconds / found["seconds"])


def jobs(where: Path) -> list[str]:
    """Jobs by now, of one run."""
    found = list((where / "slurm").glob("*/*/jobs.json"))
    said = json.loads(found[0].read_text(encoding="utf-8")) if found else {}
    return sorted(job["id"] for job in said.values())


def kept(where: Path) -> bool:
    """Whether both units have kept a state: they are in the middle."""
    return len(list(where.glob("slurm/units/*/state.safetensors"))) == 2


def state(job: str) -> str:
    return slurm("squeue", "-h", "-r", "--states=all", "-o", "%T", f"--jobs={job}").strip()


# everything goes well


def test_three_commands_as_here(tmp_path: Path) -> None:
    sweep = ("sweep-temperature", "landscape=quadratic", "replicas=8", "sgd.steps=2000", *HERE)
    few = ("sweep.learning_rate=[0.1,0.2]", "sweep.batch_size=[8,16]")
    train = ("train", "model=mlp", "minima=6", *HERE)
    joined = ("connect", "model=mlp", *QUICK, *HERE)
    for words in (train, joined, (*sweep, *few)):
        assert run(tmp_path, *words, "run.root=local")[0] == 0
        code, said = run(tmp_path, *words, "run.root=slurm", *SLURM)
        assert code == 0, said
    assert same(tmp_path)
    assert not list(tmp_path.rglob("*.pkl"))


def test_status_says_what_is_queued_and_where_the_rest_runs(place: Path) -> None:
    words = ("executor=slurm", "executor.jobs=1")
    command = begin(place, *TRAIN, "run.root=slurm", *words)
    until(lambda: list(place.glob("slurm/units/*/state.safetensors")))
    (path,) = (place / "slurm/train").iterdir()
    code, said = run(place, "status", str(path))
    first, second = jobs(place)
    assert code == 0 and "queued" in said and "running" in said, said
    assert first in said and second in said and os.uname().nodename in said, said
    assert end(command)[0] == 0 and same(place)


# whatever becomes of the jobs


@pytest.mark.parametrize("number", ["USR1", "USR2"])
def test_a_signal_has_it_save_and_come_again(number: str, place: Path) -> None:
    command = begin(place, *TRAIN, "run.root=slurm", *SLURM)
    until(lambda: kept(place))
    for job in jobs(place):
        slurm("scancel", f"--signal={number}", job)
    code, said = end(command)
    assert code == 0 and same(place), said
    assert "restarted" in said or "Requeued" in logs(place)


def logs(where: Path) -> str:
    return "".join(
        path.read_text(encoding="utf-8") for path in where.glob("slurm/train/*/jobs/*.out")
    )


def test_scancel_ends_it_and_the_same_command_goes_on(place: Path) -> None:
    command = begin(place, *TRAIN, "run.root=slurm", *SLURM)
    until(lambda: kept(place))
    slurm("scancel", *jobs(place))
    code, said = end(command)
    assert code == 130 and "was cancelled" in said and "same command" in said, said
    code, said = run(place, *TRAIN, "run.root=slurm", *SLURM)
    assert code == 0 and same(place), said


def test_it_makes_room_for_what_is_urgent(place: Path) -> None:
    command = begin(place, *TRAIN, "run.root=slurm", *SLURM)
    until(lambda: kept(place))
    cores = str(os.cpu_count())
    urgent = ("-p", "urgent", "-n", "1", "-c", cores, "-o", "/dev/null", "--wrap", "sleep 5")
    slurm("sbatch", *urgent)
    until(lambda: "PENDING" in {state(job) for job in jobs(place)})
    code, said = end(command)
    assert code == 0 and same(place), said


def test_its_time_is_over(place: Path) -> None:
    """A minute, of which Slurm may take its warning away; the work takes longer."""
    words = ("executor=slurm", "executor.jobs=1", "executor.time=1")
    long = (*TRAIN, f"sgd.steps={steps_for(75, place)}")
    assert run(place, *long, "run.root=longer")[0] == 0
    code, said = run(place, *long, "run.root=slurm", *words)
    assert code == 0, said
    assert bits(place / "slurm") == bits(place / "longer") and "Requeued" in logs(place)


def test_a_killed_job_has_failed_and_can_be_tried_again(place: Path) -> None:
    command = begin(place, *TRAIN, "run.root=slurm", *SLURM)
    until(lambda: kept(place))
    (unit,) = list(place.glob("slurm/units/*/status.json"))[:1]
    os.kill(json.loads(unit.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
    code, said = end(command)
    assert code == 1 and "ended as FAILED" in said and "--retry-failed" in said, said
    (path,) = (place / "slurm/train").iterdir()
    code, said = run(place, "status", str(path))
    assert "failed" in said and "_0_log.out" in said, said
    code, said = run(place, *TRAIN, "run.root=slurm", *SLURM, "--retry-failed")
    assert code == 0 and same(place), said


# whatever becomes of who submitted them


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_who_submitted_comes_back(number: int, place: Path) -> None:
    command = begin(place, *TRAIN, "run.root=slurm", *SLURM)
    until(lambda: kept(place))
    before = jobs(place)
    command.send_signal(number)
    code, said = end(command)
    assert code == (130 if number == signal.SIGINT else -9)
    assert number != signal.SIGINT or "its jobs go on" in said
    assert {state(job) for job in before} <= {"RUNNING", "COMPLETING", "COMPLETED"}
    code, said = run(place, *TRAIN, "run.root=slurm", *SLURM)
    assert code == 0 and same(place) and jobs(place) == before, said


def test_a_partition_that_is_not_there(tmp_path: Path) -> None:
    code, said = run(tmp_path, *TRAIN, "run.root=slurm", *SLURM, "executor.partition=nowhere")
    assert code == 1 and "sbatch refuses: " in said and "nvalid partition" in said, said
