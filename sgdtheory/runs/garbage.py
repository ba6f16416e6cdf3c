"""When a process looks for garbage: not while it imports, for nothing of that becomes any, and
looking takes a seventh of a command's start."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def not_looked_for() -> Iterator[None]:
    """In this block, or until `look_again`, nobody looks for garbage."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def look_again() -> None:
    """Look for garbage from now on, and never among what a process had imported at the first
    time."""
    _freeze_once()
    gc.enable()


@cache
def _freeze_once() -> None:
    """Counting what is frozen already would walk through all of it."""
    gc.freeze()
