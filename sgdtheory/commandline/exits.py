"""How a command ends: what went wrong in one to three lines, and the exit code."""

import errno
from collections.abc import Callable

import typer

from sgdtheory.errors import RunError, UserError, in_a_line
from sgdtheory.report.stdio import all_said, say

INTERRUPTED = 130
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}  # a disk that may come back
told: list[BaseException] = []  # what was said to have gone wrong


def guarded(work: Callable[[], None], trace: bool) -> None:
    """Run a command and turn what it raises into a line on stderr and an exit code."""
    try:
        work()
    except (typer.Exit, SystemExit):
        raise
    except BaseException as fault:
        if trace:
            raise
        raise SystemExit(tell(fault)) from None


def tell(fault: BaseException) -> int:
    """Say what went wrong in one to three lines; the exit code."""
    told.append(fault)
    if isinstance(fault, KeyboardInterrupt):
        say("interrupted; everything so far is kept, the same command goes on from there")
        return INTERRUPTED
    if isinstance(fault, UserError | RunError):
        say("\n".join(str(fault).splitlines()[:3]))
        return 2 if isinstance(fault, UserError) else 1
    if isinstance(fault, BrokenPipeError):  # the reader of the output has seen enough
        all_said()
        return 1
    if isinstance(fault, OSError):
        where = fault.filename or "while writing"
        goes_on = "; what is done is kept, the same command goes on" if fault.errno in FULL else ""
        say(f"{fault.strerror or fault}: {where}{goes_on}")
        return 1
    say(f"{in_a_line(fault)} (--trace shows where)")
    return 1
