"""The process-wide stop flag: set by a signal, checked wherever the state is safe to keep."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGUSR1 was caught, and everything so far is kept."""


class _Stop:
    """Whether a signal has asked for a stop."""

    requested = False


@contextmanager
def stoppable() -> Iterator[None]:
    """In this block the first SIGINT, SIGTERM or SIGUSR1 asks for a stop at the next step, a second
    one stops at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if _Stop.requested:
            raise Interrupted
        _Stop.requested = True

    # a notebook's or a server's thread has no signals
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, handle)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        yield
    finally:
        _Stop.requested = False
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
