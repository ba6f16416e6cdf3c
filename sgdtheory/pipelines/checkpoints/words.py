"""Names and faults from files of strangers, as messages have them."""

from collections.abc import Sequence

TOLD = 3  # names in a message
LONGEST = 100  # characters of a name in a message


def listed(names: Sequence[str]) -> str:
    """a, b, c and 4 more"""
    more = ""
    if len(names) > TOLD:
        more = f" and {len(names) - TOLD} more"
    return ", ".join(map(printable, names[:TOLD])) + more


def printable(name: str) -> str:
    """A stranger's name as it may be printed."""
    return "".join(letter if letter.isprintable() else "�" for letter in name[:LONGEST])


def short(fault: object) -> str:
    """The first line of a fault, at most 80 characters."""
    lines = (line.strip() for line in str(fault).splitlines())
    return next((line for line in lines if line), type(fault).__name__)[:80]
