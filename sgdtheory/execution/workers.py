"""Processes that do units beside this one. They are kept from one round of units, and one run, to
the next: importing torch takes each of them seconds, once."""

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, Pipe
from typing import NamedTuple

from sgdtheory.report.stdio import say
from sgdtheory.runs.processes import Process, of
from sgdtheory.runs.run import Run
from sgdtheory.runs.task import WORKER, Settings

LEAVING = 5.0  # seconds that a process may take from its last lock to its end
PATIENCE = 60.0  # seconds that a worker may take for a step
NOTHING = b""  # the order to leave what was begun
FAULT = 1  # Python's own status where nobody met what was raised


class Worker(NamedTuple):
    """A process that follows orders, a run to work on each."""

    process: "subprocess.Popen[bytes]"
    orders: Connection
    who: Process

    def told(self, order: bytes) -> None:
        """One that is dead does not hear it, and whoever waits for its unit finds out."""
        with suppress(OSError):
            self.orders.send_bytes(order)

    @property
    def is_there(self) -> bool:
        return self.process.poll() is None


class _Surroundings(NamedTuple):
    """What a process is started in and keeps: a worker of others is of no use."""

    pid: int
    folder: str
    environment: dict[str, str]
    trust: tuple[str, ...]


class _Kept:
    """The workers that have nothing to do, of the main thread: a worker dies with the thread that
    started it."""

    surroundings: _Surroundings | None = None
    workers: tuple[Worker, ...] = ()


@contextmanager
def helpers(devices: list[str], run: Run, settings: Settings, share: int) -> Iterator[list[Worker]]:
    """In this block a worker on each of these devices does what it finds to do in a run, with one
    of `share` parts of the threads. They save and leave where the block is left by a fault."""
    if not devices:
        yield []
        return
    workers = _taken(len(devices), run, settings.trust)
    try:
        for worker, device in zip(workers, devices, strict=True):
            worker.told(_order(run, settings, share, device))
        yield workers
        for worker in workers:
            if worker.process.poll() == FAULT:
                say(
                    f"warning: a worker process could not go on, others did its units: "
                    f"{run.path / 'log.txt'} says why"
                )
            worker.told(NOTHING)  # or it goes on loading what is done by now
        _kept(workers)
    except BaseException:
        send_home(workers)
        raise


def why_killed(workers: list[Worker], process: Process | None) -> str:
    """Why a unit counts as failed that a process left behind; empty where it was not killed as one
    of these: doing the unit again at once would likely have it killed again."""
    worker = next((each for each in workers if each.who == process), None)
    number = 0 if worker is None else -_ended(worker.process)
    if number <= 0:
        return ""
    return f"its worker was killed by signal {number}; if memory ran out, set executor.workers=1"


def _ended(child: "subprocess.Popen[bytes]") -> int:
    """The exit code of a worker that gave its lock back: it has ended, or is about to; 0 where it
    has not."""
    try:
        return child.wait(LEAVING)
    except subprocess.TimeoutExpired:
        return 0


def send_home(workers: list[Worker] | tuple[Worker, ...]) -> None:
    """Have workers save and leave: asked once at their next step, asked twice at once, in the end
    by force."""
    children = [worker.process for worker in workers]
    for ask in (subprocess.Popen.terminate, subprocess.Popen.terminate, subprocess.Popen.kill):
        for child in children:
            ask(child)
        until = time.monotonic() + PATIENCE
        for child in children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, until - time.monotonic()))
        if all(child.poll() is not None for child in children):
            break
    for worker in workers:
        worker.orders.close()


def _order(run: Run, settings: Settings, share: int, device: str) -> bytes:
    """What a worker is told of a run: the same run as before is the same order."""
    facts = {
        "run": str(run.path.absolute()),
        "hash": run.hash,
        "log": str(run.own("log.txt").absolute()),
        "device": device,
        "workers": share,
        "threads": settings.threads,
        "trust": settings.trust,
    }
    return json.dumps(facts).encode()


def _taken(count: int, run: Run, trust: tuple[str, ...]) -> list[Worker]:
    """So many workers, those that were kept first; others of other surroundings leave."""
    here = _surroundings(trust)
    kept, _Kept.workers = _Kept.workers, ()
    if _Kept.surroundings != here:
        if _Kept.surroundings is not None and _Kept.surroundings.pid == here.pid:
            send_home(kept)
        kept = ()
    _Kept.surroundings = here
    there = [worker for worker in kept if worker.is_there]
    _Kept.workers = tuple(there[count:])
    return [*there[:count], *(_started(run) for _ in range(count - len(there)))]


def _kept(workers: list[Worker]) -> None:
    if threading.current_thread() is threading.main_thread():
        _Kept.workers = (*_Kept.workers, *workers)
    else:
        send_home(workers)


@atexit.register
def _all_home() -> None:
    kept, _Kept.workers = _Kept.workers, ()
    if _Kept.surroundings is not None and _Kept.surroundings.pid == os.getpid():
        send_home(kept)


def _surroundings(trust: tuple[str, ...]) -> _Surroundings:
    try:
        folder = os.getcwd()  # noqa: PTH109  (the working directory as it is: it may be gone)
    except OSError:
        folder = ""
    return _Surroundings(os.getpid(), folder, dict(os.environ), trust)


def _started(run: Run) -> Worker:
    """A worker in a session of its own (Ctrl-C reaches its parent alone), which dies with its
    parent."""
    theirs, ours = Pipe(duplex=False)
    # -P: no module of the working directory
    words = [sys.executable, "-P", "-m", WORKER]
    with theirs, run.own("log.txt").open("ab") as log:
        child = subprocess.Popen(
            words,
            stdin=theirs.fileno(),
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid(), ctypes.CDLL(None)),
        )
    return Worker(child, ours, of(child.pid))


def die_with(parent: int, libc: ctypes.CDLL) -> None:
    """Have the kernel kill this process when its parent dies, however it dies (Linux)."""
    if sys.platform == "linux":
        libc.prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)
