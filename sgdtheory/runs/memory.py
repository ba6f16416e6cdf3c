"""How much a data set may hold: sizes are looked at before anything is read."""

import os

from sgdtheory.errors import UserError

SHARE = 0.5  # of this machine's memory: a data set is held whole, and more than once for a moment


def refuse_what_does_not_fit(size: int, what: str) -> None:
    """Raise UserError where `size` bytes are more than half of this machine's memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > SHARE * memory:
        raise UserError(
            f"{what}: {_told(size)}, more than half of this machine's {_told(memory)} of memory"
        )


def _told(size: float) -> str:
    """Bytes as people say them."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} EB"
