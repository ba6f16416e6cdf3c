"""Units of work side by side on this machine: this process and others, each doing the next unit that is free."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from sgdtheory.config import Settings, load
from sgdtheory.execute import cores, prepare_process, work_through
from sgdtheory.kinds import Count, Place
from sgdtheory.run import Interrupted, Pipeline, Run, Unit, stop_if_asked, stoppable


@dataclass(frozen=True)
class Local:
    """`workers` processes, this one included; None: one a core on the CPU, one on a GPU."""

    workers: Annotated[Count | None, Place] = None

    def count(self, settings: Settings) -> int:
        return self.workers or (1 if settings.device.startswith("cuda") else cores())

    def do(self, run: Run, pipeline: Pipeline, settings: Settings, pending: list[Unit]) -> None:
        count = self.count(settings)
        prepare_process(settings, count)
        others = [_start(run, settings, count) for _ in range(min(count, len(pending)) - 1)]
        try:
            work_through(run, pipeline, pending)
            while any(child.poll() is None for child in others):
                stop_if_asked()
                time.sleep(0.05)
        except BaseException:
            for child in others:
                child.send_signal(signal.SIGTERM)
            raise
        finally:
            for child in others:
                child.wait()
        self._blame(run, pending, [child.returncode for child in others if child.returncode < 0])

    def _blame(self, run: Run, pending: list[Unit], signals: list[int]) -> None:
        """A unit whose worker was killed has failed: doing it again at once would likely be killed again."""
        for unit in pending:
            folder = run.folder(unit)
            if signals and folder.status["status"] == "unfinished":
                why = f"its worker was killed by signal {-signals[0]}; if memory ran out, set executor.workers=1"
                folder.write_json("status.json", {"status": "failed", "why": why})


def _start(run: Run, settings: Settings, workers: int) -> "subprocess.Popen[bytes]":
    """A worker in a session of its own (Ctrl-C reaches its parent alone), which dies with its parent."""
    arguments = [str(run.path.resolve()), str(os.getpid()), settings.device, str(workers), str(settings.threads or 0)]
    with (run.path / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "sgdtheory.local", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, however it dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it died before the kernel was told
        raise SystemExit(1)


def main(path: str, parent: str, device: str, workers: str, threads: str) -> int:
    """What a worker does: the run's units, as its directory describes them."""
    die_with(int(parent))
    trust = tuple(Run(Path(path), Path(), Path(), {}).manifest["trust"])
    task, run = load(Path(path), trust, device)
    prepare_process(Settings(None, device, int(threads) or None), int(workers))
    with stoppable():
        try:
            work_through(run, task.pipeline, task.pipeline.units(run))
        except (Interrupted, OSError):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
