"""Killed at any moment, in process namespaces whose numbers come again: no start waits for nobody, nothing is lost."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import forks

ROOT = Path(__file__).resolve().parents[1]
LONGEST_WAIT = 5.0  # seconds for nobody
NAMESPACE = ("unshare", "-pf", "--mount-proc")
WORDS = ("device=cpu", "threads=1")
NET = ("model=mlp", "model.hidden=[8]", "sgd.batch_size=32")
COMMANDS = {
    "train": ("train", *NET, "sgd.steps=300", "minima=3", "executor.workers=2", *WORDS),
    "connect": ("connect", "landscape=double_well", "plane=0", "executor.workers=1", *WORDS),
    "sweep-temperature": (
        "sweep-temperature", "landscape=quadratic", "sweep.learning_rate=[0.1,0.2]", "sweep.batch_size=[8]", "replicas=4",
        "sgd.steps=1500", "executor.workers=2", *WORDS,
    ),
}  # fmt: skip
# The first process of a namespace: everything is imported once, by short commands of each kind; then it says so, makes a
# namespace, and runs the command in a child there. A killed namespace takes all of its processes along, and the next has the
# same numbers.
SERVER = """
import contextlib, ctypes, gc, io, json, os, signal, sys, tempfile
import torch, sgdtheory.cli, sgdtheory.report.page, sgdtheory.runs.unit
torch.set_num_threads(1)
sgdtheory.report.page.draw = lambda path: path
with tempfile.TemporaryDirectory() as nowhere:
    os.chdir(nowhere)
    for words in json.loads(sys.stdin.readline()):
        sys.argv = ["sgdtheory", *words]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                sgdtheory.cli.main()
            except SystemExit as end:
                assert not end.code, end.code
    os.chdir("/")
gc.collect()
gc.freeze()  # or each fork copies all that its collector looks at
print(json.dumps("ready"), flush=True)
sgdtheory.runs.unit.CHECKPOINT_SECONDS = 0.05
libc = ctypes.CDLL(None, use_errno=True)
for line in sys.stdin:
    words, where, log = json.loads(line)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until there is something to kill
    outer = os.fork()
    if outer == 0:
        os.chdir(where)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(out, number)
        if libc.unshare(0x20000000 | 0x00020000):  # CLONE_NEWPID | CLONE_NEWNS
            os._exit(71)
        libc.mount(b"none", b"/", None, 0x44000, None)  # MS_REC | MS_PRIVATE: what is mounted here stays here
        inner = os.fork()
        if inner:
            def put_down(*_):
                with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(inner, signal.SIGKILL)
            signal.signal(signal.SIGTERM, put_down)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            while True:
                try:
                    os._exit(abs(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])))
                except InterruptedError:
                    pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if libc.mount(b"proc", b"/proc", b"proc", 0, None):
            os._exit(72)
        sys.argv = ["sgdtheory", *words]
        code = 70
        try:
            sgdtheory.cli.main()
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush()
        os._exit(code)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    print(outer, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(outer, 0)[1]), flush=True)
"""


def can_unshare() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(
    not can_unshare(), reason="no namespaces of process numbers may be made here"
)


class Namespaces:
    """Runs commands, each in a namespace of its own."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=environment,
        )
        self.say([[*words, *forks.WORDS] for words in forks.SHORTLY])
        assert self.heard() == "ready"

    def say(self, question: Any) -> None:
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(question) + "\n")
        self.server.stdin.flush()

    def heard(self) -> Any:
        assert self.server.stdout is not None
        return json.loads(self.server.stdout.readline())

    def start(self, where: Path, words: tuple[str, ...]) -> int:
        self.say([words, str(where), str(where / "said")])
        return int(self.heard())

    def end(self) -> int:
        return int(self.heard())

    def close(self) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait()


def bits(where: Path) -> dict[str, Any]:
    """All that a finished run leaves behind and that does not depend on the time."""
    (run,) = (path.parent for path in where.rglob("manifest.json"))
    found: dict[str, Any] = {
        "results": json.loads((run / "results.json").read_text(encoding="utf-8"))
    }
    del found["results"]["seconds"]
    names = (
        "metrics.jsonl",
        "table.csv",
        *(str(path.relative_to(run)) for path in sorted(run.rglob("*.safetensors"))),
    )
    found |= {name: (run / name).read_bytes() for name in names}
    found |= {
        path.parent.name: path.read_bytes() for path in where.rglob("units/*/result.safetensors")
    }
    return found | {
        "left over": [
            path.name for path in where.rglob("*") if path.name.endswith((".tmp", ".lease"))
        ]
    }


class Watch:
    """How long nobody among the descendants of a process has had anything to do: all of them slept, but for a look now and
    then. A busy machine is no wait: whoever wants to run counts as running."""

    def __init__(self, pid: int) -> None:
        self.pid, self.busy, self.at, self.since, self.longest = (
            pid,
            1.0,
            time.monotonic(),
            time.monotonic(),
            0.0,
        )

    def look(self) -> None:
        now = time.monotonic()
        weight = min(1.0, now - self.at)  # an average over about a second
        self.busy += weight * (any(map(_wants_to_run, _descendants(self.pid))) - self.busy)
        self.at = now
        if self.busy > 0.2:
            self.since = now
        self.longest = max(self.longest, now - self.since)


def _descendants(pid: int) -> list[int]:
    try:
        own = [
            int(child)
            for file in Path(f"/proc/{pid}/task").glob("*/children")
            for child in file.read_text(encoding="ascii").split()
        ]
    except OSError:
        own = []
    return [*own, *(each for child in own for each in _descendants(child))]


def _wants_to_run(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"R", b"D")
    except OSError:
        return False


@pytest.fixture(scope="module")
def spaces() -> Iterator[Namespaces]:
    made = Namespaces()
    yield made
    made.close()


def killed_at_random(
    spaces: Namespaces, where: Path, words: tuple[str, ...], kills: int, seed: int
) -> tuple[int, float]:
    """Kill a command so often, each run at random moments until it is done; gives (runs, longest time of no work)."""
    chance, done, runs, longest = random.Random(seed), 0, 0, 0.0
    quiet = where / "quiet"
    quiet.mkdir(parents=True)
    began = time.monotonic()
    spaces.start(quiet, words)
    assert spaces.end() == 0, (quiet / "said").read_text(encoding="utf-8")
    lasts, wanted = time.monotonic() - began, bits(quiet)
    while done < kills:
        here = where / str(runs)
        here.mkdir()
        runs += 1
        for _ in range(1000):
            pid, kill_at = (
                spaces.start(here, words),
                time.monotonic() + chance.uniform(0.0, 0.8 * lasts),
            )
            watch = Watch(pid)
            while done < kills and time.monotonic() < kill_at and Path(f"/proc/{pid}").exists():
                time.sleep(0.02)
                watch.look()
            longest = max(longest, watch.longest)
            if done < kills:
                subprocess.run(["kill", str(pid)], capture_output=True)
            code = spaces.end()
            if code == 0:
                break
            assert code == 9, (here / "said").read_text(encoding="utf-8")
            done += 1
        assert bits(here) == wanted, f"run {runs} after {done} kills"
        shutil.rmtree(here)
    return runs, longest


@pytest.mark.parametrize("kills", [2, pytest.param(67, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_where_numbers_come_again(
    spaces: Namespaces, command: str, kills: int, tmp_path: Path
) -> None:
    runs, longest = killed_at_random(spaces, tmp_path, COMMANDS[command], kills, seed=kills)
    print(f"{command}: {kills} kills, {runs} runs, longest wait {longest:.2f} s")
    assert longest < LONGEST_WAIT
