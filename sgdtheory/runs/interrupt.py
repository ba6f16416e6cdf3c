"""The process-wide stop flag: set by a signal, checked wherever the state is safe to keep."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """One of `SIGNALS` was caught, and everything so far is kept."""


# Ctrl-C; the end of a machine or of a job; what batch systems are told to send before that
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class _Stop:
    """Whether a signal has asked for a stop, and which."""

    requested = False
    number: int | None = None


@contextmanager
def stoppable() -> Iterator[None]:
    """In this block the first of `SIGNALS` asks for a stop at the next step, the same one again
    stops at once. Batch systems send two different ones together."""

    def handle(number: int, frame: FrameType | None) -> None:
        if _Stop.requested and _Stop.number == number:
            raise Interrupted
        _Stop.requested, _Stop.number = True, number

    # a notebook's or a server's thread has no signals
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        _Stop.requested, _Stop.number = False, None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """In this block a library may take over signals; behind it they are ours again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_if_asked() -> None:
    """Raise Interrupted when a signal has asked for it: called between units and wherever state is
    safe on disk."""
    if _Stop.requested:
        raise Interrupted


def is_stop_requested() -> bool:
    """Whether the next `stop_if_asked` is going to raise."""
    return _Stop.requested


def signal_that_asked() -> int | None:
    """The number of the signal that has asked for a stop, while `stoppable`."""
    return _Stop.number
