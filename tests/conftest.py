"""The command line as a function: what a test types, and what came of it."""

import gc
import importlib.util
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from sgdtheory.cli import main
from tests.plain_pictures import demand_room, draw_plainly

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault(
    "OMP_WAIT_POLICY", "PASSIVE"
)  # threads that wait for work leave the core to the other tests


def pytest_configure() -> None:
    from tests.composed_once import compose_once
    from tests.run_time_shapes import check_shapes  # torch, after what is set above

    check_shapes()
    compose_once()


NEEDED: dict[str, Callable[[], bool]] = {
    "cluster": lambda: _has_slurm(),
    "ray": lambda: importlib.util.find_spec("ray") is not None,
    "browser": lambda: _has_browser(),
}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need what is not here are left out: Slurm that answers, Ray, or a browser to click in."""
    wanted = {name for name in NEEDED if any(map(marked(name), items))}
    away = [name for name in wanted if not NEEDED[name]()]
    left = [item for item in items if any(marked(name)(item) for name in away)]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def marked(name: str) -> Callable[[pytest.Item], bool]:
    return lambda item: item.get_closest_marker(name) is not None


def _has_slurm() -> bool:
    if shutil.which("sbatch") is None or importlib.util.find_spec("submitit") is None:
        return False
    return subprocess.run(["sinfo"], capture_output=True).returncode == 0


def _has_browser() -> bool:
    programs = all(map(shutil.which, ("chromium", "chromedriver")))
    return programs and importlib.util.find_spec("selenium") is not None


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it for garbage again and again was a seventh
    of the time of short commands."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def disks_are_not_waited_for() -> Iterator[None]:
    """A process that is killed loses nothing that it has written, and no test switches a machine
    off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def plain_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have matplotlib draw for the tests that look at pictures alone, and see to it that it draws
    nothing beyond a picture's edge."""
    if "pictures" in request.keywords:
        demand_room(monkeypatch.setattr)
    else:
        draw_plainly(monkeypatch.setattr)


class Said(NamedTuple):
    """What a command said on its two streams, and its exit code."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


def call(*words: str) -> Said:
    """`sgdtheory WORDS…` in this process."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["sgdtheory", *words]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as stop:
        return Said(stop.code if isinstance(stop.code, int) else 0, out.getvalue(), err.getvalue())
    finally:
        sys.argv = before
    raise AssertionError("main() always ends with an exit code")


@pytest.fixture
def sgdtheory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, in an empty working directory; what it changes in this process is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return call


@pytest.fixture
def cold(sgdtheory: Command) -> Callable[..., Said]:
    """The command as a process of its own."""

    def run(*words: str, code: str = "from sgdtheory.cli import main; main()") -> Said:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(Path(__file__).parents[1]),
            },
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run
