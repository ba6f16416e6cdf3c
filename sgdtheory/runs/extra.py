"""A number that may fail without taking what it stands beside along: it becomes null, with the
reason."""

from collections.abc import Callable, Sequence

from sgdtheory.errors import RunError, UserError
from sgdtheory.runs.folder import CorruptFile
from sgdtheory.runs.plain import Json

# What a module that somebody else wrote raises where it cannot do what is asked. The disk (OSError,
# CorruptFile), memory that Python itself has run out of, and the wish to stop are nobody's fault
# here, and pass.
FAULTS = (UserError, RunError, RuntimeError, TypeError, ValueError, LookupError, AttributeError)


def reason(fault: BaseException) -> str:
    """Why something could not be had, in one line."""
    first = str(fault).strip().splitlines()[0] if str(fault).strip() else ""
    return (
        first
        if isinstance(fault, UserError | RunError)
        else f"{type(fault).__name__}: {first}".rstrip(": ")
    )


def nothing(names: Sequence[str], why: str) -> Json:
    """{name: null, name_why: why, …}"""
    return {key: value for name in names for key, value in ((name, None), (f"{name}_why", why))}


def extra(names: Sequence[str], work: Callable[[], Json]) -> Json:
    """What `work` gives; where that fails, null for each of `names`, with the reason as
    `<name>_why`."""
    try:
        return work()
    except CorruptFile:
        raise
    except FAULTS as fault:
        return nothing(names, reason(fault))
