"""A directory whose every file is whole or absent, whatever happens to the process or the disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sgdtheory.errors import RunError
from sgdtheory.runs.digests import digest, digest_of_content
from sgdtheory.runs.folder import CorruptFile, Folder
from sgdtheory.runs.plain import plain
from sgdtheory.runs.processes import started
from sgdtheory.runs.writing import UNFINISHED, temporary_of
from tests.forks import until

ONE_FOLDER = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ROWS = [{"step": 1, "loss": [0.1, None]}, {"step": 2, "what": "ä\n"}, {"step": 3}]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "a" / "folder")


def names(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


# atomic writes


@pytest.mark.parametrize("where", ["write", "fsync", "replace"])
@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, where: str, fault: BaseException
) -> None:
    folder.write_text("x/file", "old")

    def fail(*_: Any, **__: Any) -> Any:
        raise fault

    with monkeypatch.context() as patch:
        if where == "replace":
            patch.setattr(Path, "replace", fail)
        elif where == "fsync":
            patch.setattr(os, "fsync", fail)
        else:
            patch.setattr(Path, "open", fail)
        with pytest.raises(type(fault)) as raised:
            folder.write_text("x/file", "new")
    assert (folder.path / "x" / "file").read_text(encoding="utf-8") == "old"
    assert names(Folder(folder.path / "x")) == ["file"]
    if isinstance(raised.value, OSError):
        assert raised.value.filename == str(
            folder.path / "x" / "file"
        )  # which file it was, for the one line told of it


def test_what_a_killed_writer_left_is_swept_by_the_next_lock(folder: Folder) -> None:
    with subprocess.Popen(["sleep", "60"]) as dead:
        born = started(dead.pid)
        dead.kill()
    folder.write_text("file", "whole")
    mine = temporary_of(folder.path / "file").name
    theirs = [
        f".file.{dead.pid}-{born}{UNFINISHED}",
        f".file.{os.getpid()}-1{UNFINISHED}",
    ]  # its number came again
    users = [".notes.tmp", f".file.{dead.pid}.tmp", f".x{UNFINISHED}"]
    (folder.path / "figures").mkdir()
    for name in (*theirs, *users, mine, f"figures/{theirs[0]}"):
        (folder.path / name).write_text("half", encoding="utf-8")
    with folder.lock():
        assert names(folder) == sorted([*users, mine, ".lock", "file", "figures"])
        assert list((folder.path / "figures").iterdir()) == []


# rows


@given(cut=st.integers(0, 200), more=st.integers(1, 3))
@ONE_FOLDER
def test_a_torn_file_is_read_to_its_last_whole_row_and_goes_on_there(
    folder: Folder, cut: int, more: int
) -> None:
    (folder.path / "rows").unlink(missing_ok=True)
    folder.append("rows", ROWS)
    content = (folder.path / "rows").read_bytes()
    (folder.path / "rows").write_bytes(content[:cut])
    whole = folder.rows("rows")
    assert whole == ROWS[: content[:cut].count(b"\n")]
    folder.append("rows", ROWS[:more])
    assert folder.rows("rows") == whole + ROWS[:more]


def test_rows_of_nothing_and_of_something_else(folder: Folder) -> None:
    assert folder.rows("none") == []
    folder.write_bytes("rows", b'{"a": 1}\n\0\0\0\n{"a": 2}\n')
    with pytest.raises(CorruptFile, match="rows is damaged"):
        folder.rows("rows")
    folder.append("numbers", [{"a": np.float32(0.5), "b": float("nan"), "c": (1, np.int64(2))}])
    assert folder.rows("numbers") == [{"a": 0.5, "b": None, "c": [1, 2]}]


# JSON


def test_plain_data() -> None:
    inf = float("inf")
    given_ = {
        1: np.float64(2.0),
        "a": (np.bool_(True), torch.tensor(3), inf, -inf, None),
        "p": Path("x/y"),
        "d": {"n": np.nan},
    }
    wanted = {"1": 2.0, "a": [True, 3, None, None, None], "p": "x/y", "d": {"n": None}}
    assert plain(given_) == wanted
    assert json.loads(json.dumps(plain(given_), allow_nan=False)) == wanted


def test_json_is_whole_or_named(folder: Folder) -> None:
    assert folder.read_json("none", 7) == 7
    folder.write_json("some.json", {"x": float("nan"), "ä": 1e-300})
    assert folder.read_json("some.json") == {"x": None, "ä": 1e-300}
    for broken in (b'{"x": ', b"\xff\xfe", b""):
        folder.write_bytes("some.json", broken)
        with pytest.raises(RunError, match=r"some\.json is damaged"):
            folder.read_json("some.json")


# digests


def test_digest_knows_what_is_equal() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert (
        len(
            {
                digest(x)
                for x in ({"a": 1}, {"a": 1.5}, {"a": "1"}, {"a": [1]}, {"a": None}, {"b": 1}, [])
            }
        )
        == 7
    )


def test_digest_of_content_is_of_what_is_there_not_of_where(tmp_path: Path) -> None:
    for base in ("a", "b"):
        Folder(tmp_path / base).write_text("x/1", "one")
        Folder(tmp_path / base).write_text("2", "two")
    same = digest_of_content(tmp_path / "a")
    assert same == digest_of_content(tmp_path / "b")
    (tmp_path / "b" / "2").rename(tmp_path / "b" / "3")
    assert digest_of_content(tmp_path / "b") != same
    Folder(tmp_path / "a").write_text("2", "two!")
    assert digest_of_content(tmp_path / "a") != same
    assert digest_of_content(tmp_path / "a" / "x" / "1") == digest_of_content(
        tmp_path / "b" / "x" / "1"
    )
    assert digest_of_content(tmp_path / "a" / "x" / "1") != digest_of_content(tmp_path / "a" / "2")


# tensors

TENSORS = {"cloud": torch.arange(6.0).view(2, 3), "velocity": torch.ones(2, 3, dtype=torch.float64)}


def test_equal_tensors_are_equal_bytes(tmp_path: Path) -> None:
    written = []
    for base, flip in (("a", 1), ("b", -1)):
        folder = Folder(tmp_path / base)
        order = dict(list(TENSORS.items())[::flip])
        strided = {
            key: value.T.contiguous().T if flip == 1 else value for key, value in order.items()
        }
        sha = folder.write_tensors("t", strided, {"step": 3, "stage": "x"})
        written.append((sha, (folder.path / "t").read_bytes()))
    assert written[0] == written[1]


def test_tensors_come_back_with_their_facts(folder: Folder) -> None:
    assert folder.read_stamped("none") is None
    folder.write_tensors("t", TENSORS, {"step": 3, "loss": float("nan")})
    found = folder.read_stamped("t")
    assert found is not None
    assert found[1] == {"step": 3, "loss": None}
    assert all(torch.equal(found[0][key], value) for key, value in TENSORS.items())
    assert found[0].keys() == TENSORS.keys()


@given(st.data())
@ONE_FOLDER
def test_truncated_tensors_are_never_believed(folder: Folder, data: st.DataObject) -> None:
    folder.write_tensors("t", TENSORS, {"step": 3})
    content = (folder.path / "t").read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    (folder.path / "t").write_bytes(content[:cut])
    with pytest.raises(CorruptFile, match=r"/t is damaged or truncated .*delete it"):
        folder.read_stamped("t")


@given(st.data())
@ONE_FOLDER
def test_a_changed_byte_is_noticed(folder: Folder, data: st.DataObject) -> None:
    sha = folder.write_tensors("t", TENSORS, {"step": 3})
    content = bytearray((folder.path / "t").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder.path / "t").write_bytes(content)
    with pytest.raises(CorruptFile):
        folder.read_tensors("t", sha)
    try:
        found = folder.read_stamped("t")
    except CorruptFile:
        return
    assert found is not None and found[1] == {"step": 3}  # only spaces that JSON ignores may differ
    assert all(torch.equal(found[0][key], value) for key, value in TENSORS.items())


def test_swapped_and_missing_tensors(folder: Folder) -> None:
    sha = folder.write_tensors("one", {"x": torch.zeros(2)})
    other = folder.write_tensors("two", {"x": torch.ones(2)})
    assert torch.equal(folder.read_tensors("one", sha)["x"], torch.zeros(2))
    with pytest.raises(CorruptFile, match="checksums differ"):
        folder.read_tensors("one", other)
    with pytest.raises(CorruptFile, match="checksums differ"):
        folder.read_stamped("one")  # has no stamp
    with pytest.raises(CorruptFile, match="three is missing"):
        folder.read_tensors("three", sha)


# locks

HOLD = """
import sys, time
from pathlib import Path
from sgdtheory.runs.folder import Folder
with Folder(Path(sys.argv[1])).lock() as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


LOOK = """
import sys
from pathlib import Path
from sgdtheory.runs.folder import Folder
while True:
    Folder(Path(sys.argv[1])).is_locked()
"""


def test_a_lock_is_exclusive_and_dies_with_its_holder(folder: Folder) -> None:
    assert not folder.is_locked()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], stdout=subprocess.PIPE, encoding="utf-8"
    ) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "True\n"
            assert folder.is_locked()
            with folder.lock() as mine:
                assert not mine
        finally:
            holder.send_signal(signal.SIGKILL)
    assert until(lambda: not folder.is_locked(), 5)
    with folder.lock() as mine:
        assert mine and folder.is_locked()
        with folder.lock() as again:
            assert not again
    assert not folder.is_locked()


def test_a_lock_does_not_outlive_its_holder_in_children(folder: Folder) -> None:
    with folder.lock():
        child = subprocess.Popen(["sleep", "20"], close_fds=False)
    try:
        assert not folder.is_locked()
    finally:
        child.kill()
        child.wait()


def test_who_merely_looks_never_gets_in_the_way(folder: Folder) -> None:
    with folder.lock():
        pass
    with subprocess.Popen([sys.executable, "-c", LOOK, str(folder.path)]) as looker:
        try:
            time.sleep(0.3)
            for _ in range(300):
                with folder.lock() as mine:
                    assert mine
        finally:
            looker.kill()


def test_looking_at_a_lock_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(tmp_path / "none")
    assert not folder.is_locked()
    assert not folder.path.exists()
    with folder.lock():
        opened: list[int] = []
        real = os.open
        monkeypatch.setattr(
            os,
            "open",
            lambda path, flags, *rest: (opened.append(flags), real(path, flags, *rest))[1],
        )
        assert folder.is_locked()
        assert opened and not any(
            flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT) for flags in opened
        )
