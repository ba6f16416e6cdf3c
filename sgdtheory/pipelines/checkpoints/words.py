"""Names and faults from files of strangers, as messages have them."""

from collections.abc import Sequence

TOLD = 3  # names in a message
LONGEST = 100  # characters of a name in a message


def listed(names: Sequence[str]) -> str:
    """a, b, c and 4 more"""
    words = ", ".join(map(printable, names[:TOLD]))
    left = len(names) - TOLD
    if left <= 0:
        return words
    return f"{words} and {left} more"


def printable(name: str) -> str:
    """A stranger's name as it may be printed."""
    letters = []
    for letter in name[:LONGEST]:
        letters.append(letter if letter.isprintable() else "�")
    return "".join(letters)


def short(fault: object) -> str:
    """The first line of a fault, at most 80 characters."""
    words = str(fault).strip() or type(fault).__name__
    first, *_ = words.splitlines()
    return first.strip()[:80]
