"""Leases: one holder at a time between machines that share a disk, whatever dies, and when."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sgdtheory.runs import leases, locks, processes
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.leases import LEASE, holder_of, is_leased, leasing
from sgdtheory.runs.processes import Process, this
from sgdtheory.runs.writing import UNFINISHED, temporary_of
from tests import two_hosts
from tests.forks import Command, warm
from tests.two_hosts import run_of

ELSEWHERE = Process("far boot pid:[1]", 5, "7")
MINUTE = 60.0


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that other machines may have too, and no long waits."""
    monkeypatch.setattr(locks, "is_own_disk", lambda folder: False)
    monkeypatch.setattr(leases, "PATIENCE", 0.3)
    monkeypatch.setattr(leases, "_SEEN", {})


def left_by(folder: Path, holder: Process, **more: object) -> Path:
    """The lease of a holder, as it would have written it."""
    lease = folder / LEASE
    said = {"holder": holder, "token": "abc", "over": False, "time": time.time(), "beat": 1}
    lease.write_text(json.dumps({**said, **more}), encoding="utf-8")
    return lease


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# what a lease says


def test_a_lease_says_who_where_and_when(tmp_path: Path) -> None:
    with Folder(tmp_path).lock() as mine:
        said = json.loads((tmp_path / LEASE).read_text(encoding="utf-8"))
        assert mine and Process(*said["holder"]) == this()
        assert abs(said["time"] - time.time()) < MINUTE and said["beat"] == 0
        assert names(tmp_path) == [LEASE, ".lock"]
    assert names(tmp_path) == [".lock"]


def test_a_holder_goes_on_saying_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.01)
    with Folder(tmp_path).lock():
        contents = set()
        until = time.monotonic() + 5
        while len(contents) < 3 and time.monotonic() < until:
            contents.add((tmp_path / LEASE).read_bytes())
        assert len(contents) >= 3 and len({len(content) for content in contents}) == 1


def test_this_machines_own_disks_need_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    if not locks.is_own_disk(tmp_path):
        pytest.skip("the disk of temporary files is not known as this machine's own")
    with Folder(tmp_path).lock() as mine:
        assert mine and names(tmp_path) == [".lock"]


def test_a_disk_that_is_not_known_is_shared() -> None:
    assert locks._kind_of_disk(os.makedev(4095, 1048575)) == ""


# who is dead


def test_a_holder_elsewhere_is_waited_for_and_not_longer(tmp_path: Path) -> None:
    left_by(tmp_path, ELSEWHERE)
    began = time.monotonic()
    with Folder(tmp_path).lock() as mine:
        assert mine and time.monotonic() - began >= leases.PATIENCE
    assert names(tmp_path) == [".lock"]


def test_it_is_never_taken_before(tmp_path: Path) -> None:
    left_by(tmp_path, ELSEWHERE)
    began, taken = time.monotonic(), False
    while not taken:
        with Folder(tmp_path).lock(looks_on=False) as taken:
            assert taken == (time.monotonic() - began >= leases.PATIENCE) or not taken
    assert time.monotonic() - began < 20 * leases.PATIENCE


@pytest.mark.parametrize("wrong", [-MINUTE, MINUTE, -1e6, 1e6])
def test_clocks_decide_nothing(wrong: float, tmp_path: Path) -> None:
    """A holder whose clock is wrong, on a disk whose clock is: neither taken early nor late."""
    lease = left_by(tmp_path, ELSEWHERE, time=time.time() + wrong)
    os.utime(lease, (time.time() + wrong,) * 2)
    began = time.monotonic()
    with leasing(tmp_path, has_flock=False, looks_on=True) as claim:
        assert claim is not None
        assert leases.PATIENCE <= time.monotonic() - began < 20 * leases.PATIENCE


@pytest.mark.parametrize("wrong", [-MINUTE, 0.0, MINUTE])
def test_what_is_said_of_a_holder_survives_a_minute(wrong: float, tmp_path: Path) -> None:
    lease = left_by(tmp_path, ELSEWHERE)
    os.utime(lease, (time.time() + wrong,) * 2)
    assert is_leased(tmp_path)
    os.utime(lease, (time.time() - 10 * MINUTE,) * 2)
    assert not is_leased(tmp_path)


def test_who_has_the_flock_knows_of_all_containers_of_its_machine(tmp_path: Path) -> None:
    """A holder in another namespace of process numbers cannot be seen, but would have the flock."""
    words = processes.machine().split()
    neighbour = Process(" ".join([*words[:2], "pid:[1]"]), 5, "7")
    left_by(tmp_path, neighbour)
    assert neighbour.is_alive is None
    with leasing(tmp_path, has_flock=False, looks_on=False) as claim:
        assert claim is None
    with leasing(tmp_path, has_flock=True, looks_on=False) as claim:
        assert claim is not None


def test_the_name_of_a_host_is_the_environments() -> None:
    code = "from sgdtheory.runs.processes import *; print(this().host, kernel_tag())"
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "SGDTHEORY_HOST": name},
        ).stdout.split()
        for name in ("a", "b")
    ]
    assert [host for host, _ in said] == ["a", "b"] and said[0][1] != said[1][1]


# taking over and giving back


def test_who_takes_over_follows_and_takes_all_away(tmp_path: Path) -> None:
    left_by(tmp_path, this()._replace(start="1"))
    with leasing(tmp_path, has_flock=False, looks_on=True) as claim:
        assert claim is not None and claim.path.name == f"{LEASE}-abc"
        assert (tmp_path / LEASE).exists()
        last = holder_of(tmp_path)
        assert last is not None and last.token == claim.token and last.holder == this()
        with leasing(tmp_path, has_flock=False, looks_on=True) as second:
            assert second is None
    assert names(tmp_path) == []


def test_one_of_two_takes_over(tmp_path: Path) -> None:
    """Both have seen that the holder is dead."""
    left_by(tmp_path, this()._replace(start="1"))
    last = holder_of(tmp_path)
    assert last is not None
    claims = [leases._confirmed(leases._made(tmp_path, last.next)) for _ in range(2)]
    assert claims[0] is not None and claims[1] is None and claims[0].holds()
    claims[0].give_back()
    # a third, who saw the same and was slow: what it makes now leads nowhere
    third = leases._made(tmp_path, last.next)
    assert third is not None and not third.holds() and leases._confirmed(third) is None
    assert names(tmp_path) == []


def test_who_was_followed_holds_nothing_and_leaves_all(tmp_path: Path) -> None:
    with leasing(tmp_path, has_flock=False, looks_on=True) as claim:
        assert claim is not None and claim.holds()
        follower = leases._made(tmp_path, tmp_path / f"{LEASE}-{claim.token}")
        assert follower is not None and not claim.holds() and follower.holds()
    assert follower.holds() and len(names(tmp_path)) == 2
    follower.give_back()
    assert names(tmp_path) == []


def test_killed_while_it_gave_back(tmp_path: Path) -> None:
    """It has followed itself, and taken nothing away, or the head alone."""
    for head in (True, False):
        claim = leases._made(tmp_path, tmp_path / LEASE)
        assert claim is not None
        end = leases._made(tmp_path, tmp_path / f"{LEASE}-{claim.token}", is_over=True)
        assert end is not None
        if not head:
            claim.path.unlink()
        with leasing(tmp_path, has_flock=False, looks_on=True) as next_one:
            assert next_one is not None
        assert names(tmp_path) == []


def test_nobody_follows_who_is_giving_back(tmp_path: Path) -> None:
    """It is about to take the chain away, and whoever had followed would stand on nothing."""
    claim = leases._made(tmp_path, tmp_path / LEASE)
    assert claim is not None
    end = leases._made(tmp_path, tmp_path / f"{LEASE}-{claim.token}", is_over=True)
    with leasing(tmp_path, has_flock=False, looks_on=False) as next_one:
        assert end is not None and next_one is None


def test_a_server_that_refuses_what_it_has_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def link(source: Any, target: Any) -> None:
        real(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", link)
    with leasing(tmp_path, has_flock=False, looks_on=False) as claim:
        assert claim is not None
    assert names(tmp_path) == []


def test_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Any, target: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    left_by(tmp_path, this()._replace(start="1"))
    with leasing(tmp_path, has_flock=False, looks_on=False) as claim:
        assert claim is not None and claim.holds()
        with leasing(tmp_path, has_flock=False, looks_on=False) as second:
            assert second is None
    assert names(tmp_path) == []


def test_a_full_disk_gives_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*words: object) -> int:
        raise OSError(28, "No space left on device")

    with leasing(tmp_path, has_flock=False, looks_on=False) as claim:
        assert claim is not None
        monkeypatch.setattr(os, "pwrite", full)
    assert names(tmp_path) == []


# other machines' files


def test_temporary_files_of_other_machines_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / f".file.{os.getpid()}-1@0123abcd{UNFINISHED}"
    old = tmp_path / f".old.{os.getpid()}-1@0123abcd{UNFINISHED}"
    ours = tmp_path / f".file.{os.getpid()}-1@{processes.kernel_tag()}{UNFINISHED}"
    living = temporary_of(tmp_path / "file")
    for path in (theirs, old, ours, living):
        path.touch()
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    with Folder(tmp_path).lock():
        pass
    assert names(tmp_path) == sorted([".lock", theirs.name, living.name])


# killed at random


SETTINGS = "BEAT=0.2, PATIENCE=8.0"
HOSTS = ("a", "b", "a", "b")


def start(where: Path, host: str, kind: str, units: int, settings: str = SETTINGS) -> Command:
    call = f"main(Path({str(where)!r}), {host!r}, {kind!r}, {units}, {settings})"
    return warm().start(where, before=f"from tests.two_hosts import *; {call}")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    root = Path(__file__).resolve().parents[1]
    warm().do(f"import sys; sys.path.insert(0, {str(root)!r}); import tests.two_hosts")
    for name in ("witness", "faults", "shadows"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        ("holds on one host", 4),
        *(pytest.param(kind, 200, marks=pytest.mark.slow) for kind in two_hosts.KINDS),
    ],
)
def test_two_hosts_killed_at_random(kills: int, kind: str, disk: Path) -> None:
    """Two processes on each of two hosts; no unit is done twice at once, none is lost."""
    chance, units = random.Random(kills), 6 + 3 * kills
    commands = [start(disk, host, kind, units) for host in HOSTS]
    for _ in range(kills):
        time.sleep(chance.uniform(0.02, 0.3))
        which = chance.randrange(len(HOSTS))
        commands[which].kill()
        assert commands[which].end().code == -9, "all was done before the last kill"
        commands[which] = start(disk, HOSTS[which], kind, units)
    for command in commands:
        ended = command.end(120)
        assert ended.code == 0, ended
    assert [path.read_text(encoding="utf-8") for path in (disk / "faults").iterdir()] == []
    run, found = run_of(disk, units)
    assert [run.folder(unit).status["status"] for unit in found] == ["done"] * units
    assert [run.folder(unit).written() is not None for unit in found] == [True] * units
    finished = Counter((disk / "witness/finished").read_text(encoding="utf-8").splitlines())
    assert max(finished.values()) == 1
    assert not list(disk.glob(f"units/*/{LEASE}*"))


def test_what_is_done_twice_at_once_is_seen(disk: Path) -> None:
    """By the test above: each host takes the other one for dead."""
    settings = f"{SETTINGS}, impatient=True"
    commands = [start(disk, host, "fails", 3, settings) for host in ("a", "b")]
    for command in commands:
        command.end()
    assert names(disk / "faults") != []
