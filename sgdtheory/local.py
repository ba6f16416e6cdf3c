"""Units of work side by side on this machine: this process and others, each doing the next unit that is free."""

import ctypes
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from sgdtheory.commandline.config import Settings, load
from sgdtheory.execute import cores, prepare_process, work_through
from sgdtheory.folder import Damaged
from sgdtheory.kinds import Count, Place
from sgdtheory.run import Interrupted, Pipeline, Run, Unit, stoppable
from sgdtheory.terminal import ready


@dataclass(frozen=True)
class Local:
    """`workers` processes, this one included; None: one a core on the CPU, one on a GPU."""

    workers: Annotated[Count | None, Place] = None

    def count(self, settings: Settings) -> int:
        return self.workers or (1 if settings.device.startswith("cuda") else cores())

    def do(self, run: Run, pipeline: Pipeline, settings: Settings, pending: list[Unit]) -> None:
        count = self.count(settings)
        prepare_process(settings, count)
        others = {child.pid: child for child in (_start(run, settings, count) for _ in range(min(count, len(pending)) - 1))}

        def killed(pid: int) -> str:
            """A unit whose worker was killed has failed: doing it again at once would likely be killed again."""
            number = -others[pid].wait() if pid in others else 0  # it gave its lock back, so it has ended or is about to
            return f"its worker was killed by signal {number}; if memory ran out, set executor.workers=1" if number > 0 else ""

        try:
            work_through(run, pipeline, pending, killed)
        finally:  # nothing is left to do, or this process stops: whoever still works for it saves and leaves
            for child in others.values():
                child.terminate()
            for child in others.values():
                child.wait()


def _start(run: Run, settings: Settings, workers: int) -> "subprocess.Popen[bytes]":
    """A worker in a session of its own (Ctrl-C reaches its parent alone), which dies with its parent."""
    arguments = [str(run.path.resolve()), settings.device, str(workers), str(settings.threads or 0), *settings.trust]
    with (run.path / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sgdtheory.local", *arguments],  # -P: no module of the working directory
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid(), ctypes.CDLL(None)),
        )


def die_with(parent: int, libc: ctypes.CDLL) -> None:
    """Have the kernel kill this process when its parent dies, however it dies (Linux)."""
    if sys.platform == "linux":
        libc.prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def main(path: str, device: str, workers: str, threads: str, *trust: str) -> int:
    """What a worker does: the run's units, as its directory describes them; what it says is the run's log."""
    ready(encoding="utf-8")
    task, run = load(Path(path), trust, device)
    prepare_process(Settings(Local(), device, int(threads) or None), int(workers))
    with stoppable():
        try:
            work_through(run, task.pipeline, task.pipeline.units(run))
        except (Interrupted, OSError, Damaged):  # its parent will meet the same fault, and says so
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
