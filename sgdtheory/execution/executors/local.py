"""Units of work side by side on this machine: this process and others, each doing the next unit
that is free."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from sgdtheory.annotations import Place, PositiveInt
from sgdtheory.execution.machine import cards, cores, devices_of, prepare_process
from sgdtheory.execution.units import work_through
from sgdtheory.runs.processes import Process, of
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import WORKER, Settings
from sgdtheory.runs.unit import Unit

LEAVING = 5.0  # seconds that a process may take from its last lock to its end
PATIENCE = 60.0  # seconds that a worker may take for a step


@dataclass(frozen=True)
class Local:
    """`workers` processes, this one included; None: one a core on the CPU, one a GPU on `cuda`.

    On several GPUs each of them does its units on one.
    """

    workers: Annotated[PositiveInt | None, Place] = None

    def count(self, settings: Settings) -> int:
        if self.workers is not None:
            return self.workers
        if settings.device == "cuda":
            return max(1, cards())
        return 1 if settings.device.startswith("cuda") else cores()

    def do(self, run: Run, settings: Settings, pending: list[Unit]) -> None:
        count = self.count(settings)
        prepare_process(settings, count)
        devices = devices_of(settings.device, min(count, len(pending)), cards())
        children = [_start(run, settings, count, device) for device in devices[1:]]
        others = {of(child.pid): child for child in children}

        def killed(process: Process | None) -> str:
            """A unit whose worker was killed has failed: doing it again at once would likely be
            killed again."""
            child = others.get(process) if process is not None else None
            number = 0 if child is None else -_ended(child)
            return (
                f"its worker was killed by signal {number}; if memory ran out, set "
                f"executor.workers=1"
                if number > 0
                else ""
            )

        try:
            work_through(run, pending, killed)
        # nothing is left to do, or this process stops: whoever still works for it saves and leaves
        finally:
            _send_home(children)


def _ended(child: "subprocess.Popen[bytes]") -> int:
    """The exit code of a worker that gave its lock back: it has ended, or is about to; 0 where it
    has not."""
    try:
        return child.wait(LEAVING)
    except subprocess.TimeoutExpired:
        return 0


def _send_home(children: "list[subprocess.Popen[bytes]]") -> None:
    """Have workers save and leave: asked once at their next step, asked twice at once, in the end
    by force."""
    for ask in (subprocess.Popen.terminate, subprocess.Popen.terminate, subprocess.Popen.kill):
        for child in children:
            ask(child)
        until = time.monotonic() + PATIENCE
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, until - time.monotonic()))
        if all(child.poll() is not None for child in children):
            return


def _start(run: Run, settings: Settings, workers: int, device: str) -> "subprocess.Popen[bytes]":
    """A worker in a session of its own (Ctrl-C reaches its parent alone), which dies with its
    parent."""
    arguments = [
        str(run.path.absolute()),
        device,
        str(workers),
        str(settings.threads or 0),
        *settings.trust,
    ]
    with run.own("log.txt").open("ab") as log:
        # -P: no module of the working directory
        return subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                WORKER,
                *arguments,
            ],
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
