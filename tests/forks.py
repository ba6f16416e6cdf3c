"""A warm process that forks: a command costs tenths of a second instead of the seconds that importing torch takes.

`warm()` starts it once a session. What it forks runs the real command line, `sgdtheory.cli.main`, in a process of its own:
it can be killed, stopped, and starved of disk like any other.
"""

import atexit
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
WORDS = ["device=cpu", "threads=1", "executor.workers=1"]

# short commands of each kind: what they import is imported once
SHORTLY = (
    ("train", "model=mlp", "sgd.steps=2", "minima=1"),
    ("train", "landscape=quadratic", "sgd.steps=2", "minima=1"),
    (
        *("connect", "landscape=ring", "plane=0", "autoneb.steps=2", "autoneb.last_steps=2"),
        *("autoneb.retries=0", "baselines.gradients=4", "baselines.dense=3"),
    ),
    (
        *("sweep-temperature", "landscape=quadratic", "sweep.learning_rate=[0.1]"),
        *("sweep.batch_size=[8]", "replicas=4", "sgd.steps=100"),
    ),
)


class Ended(NamedTuple):
    code: int  # the exit code; minus the signal that killed it
    out: str
    err: str


class Command:
    """A command that is running."""

    def __init__(self, server: "Server", pid: int, folder: Path) -> None:
        self.server, self.pid, self.folder = server, pid, folder

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)  # not reaped before `end`, so the pid is still its own

    def end(self, seconds: float = 60) -> Ended:
        code = self.server.ask(do="wait", pid=self.pid, seconds=seconds)
        assert code is not None, (
            f"still running after {seconds} s: {(self.folder / 'err').read_text(encoding='utf-8')}"
        )
        return Ended(
            code, *((self.folder / name).read_text(encoding="utf-8") for name in ("out", "err"))
        )


class Server:
    """The test's end of the warm process."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.count = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks"], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
        )  # fmt: skip
        atexit.register(self.process.kill)
        assert self.ask(do="ready") == "ready"

    def ask(self, **question: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, where: Path, *words: str, before: str = "") -> Command:
        """`sgdtheory` with these words in a directory; `before`: Python that is executed in the new process first."""
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        for name in ("out", "err"):
            (folder / name).touch()
        pid = self.ask(do="start", where=str(where), words=words, before=before, folder=str(folder))
        return Command(self, pid, folder)

    def do(self, code: str) -> None:
        """Python that is executed in the warm process itself: what it imports or keeps, every later command has."""
        assert self.ask(do="exec", code=code) == "ready"

    def run(self, where: Path, *words: str, before: str = "") -> Ended:
        return self.start(where, *words, before=before).end()


@functools.cache
def warm() -> Server:
    return Server()


def until(true: Any, seconds: float = 30.0) -> bool:
    """Wait until something holds; whether it did in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


# the other end


def _start(question: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.chdir(question["where"])
        for number, name, how in ((0, os.devnull, "rb"), (1, "out", "wb"), (2, "err", "wb")):
            with (Path(question["folder"]) / name).open(how) as stream:
                os.dup2(stream.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = (
            open(k, "r" if k == 0 else "w", closefd=False, encoding="utf-8")  # noqa: SIM115
            for k in range(3)
        )
        exec(question["before"], {})
        words = question["words"]  # of a test whose locale is ASCII, with surrogates
        sys.argv = ["sgdtheory", *(os.fsdecode(os.fsencode(word)) for word in words)]
        from sgdtheory.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return 0


def _wait(pid: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory() as nowhere
    ):  # everything is imported once, and no thread is left
        where, stderr = Path.cwd(), sys.stderr
        os.chdir(nowhere)
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        import scipy.integrate  # noqa: F401
        import scipy.stats  # noqa: F401

        from sgdtheory.cli import main
        from tests.composed_once import compose_once
        from tests.plain_pictures import draw_plainly

        compose_once()
        draw_plainly()
        for words in SHORTLY:
            sys.argv = ["sgdtheory", *words, *WORDS]
            try:
                main()
            except SystemExit as end:
                assert not end.code, end.code
        sys.stdout = sys.stderr = stderr
        os.chdir(where)
    gc.collect()
    gc.freeze()  # or each fork copies all that its collector looks at
    for line in sys.stdin:
        question = json.loads(line)
        answer: Any = "ready"
        if question["do"] == "start":
            answer = _start(question)
        elif question["do"] == "exec":
            exec(question["code"], {})
        elif question["do"] == "wait":
            answer = _wait(question["pid"], question["seconds"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
