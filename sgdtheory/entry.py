"""Where the command begins: before anything is imported that takes time, or that reads the
environment once and for all."""

import os
import signal
from types import FrameType


def main() -> None:
    """`sgdtheory`: the command line, interruptible from its first moment on."""
    signal.signal(signal.SIGINT, _leave)
    wait_quietly()
    from sgdtheory.cli import main as command

    signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


def wait_quietly() -> None:
    """Have threads that wait for others sleep instead of spin, unless the environment says how:
    call it before torch is imported, whose OpenMP reads it then. On a machine whose other cores
    are busy, a spinning thread keeps those it waits for from working, and a command of one
    second takes minutes."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")  # GNU's OpenMP, torch's on Linux
    os.environ.setdefault("KMP_BLOCKTIME", "0")  # Intel's and LLVM's, in milliseconds


def _leave(number: int, frame: FrameType | None) -> None:
    """Nothing is begun yet: one line, no traceback."""
    os.write(2, b"interrupted before anything was begun\n")
    os._exit(130)
