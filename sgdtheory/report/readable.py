"""What goes wrong while the files of a run are read for people."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sgdtheory.errors import RunError, UserError, in_a_line

MOST_SAID = 100  # characters of what Python says of a damaged file


@contextmanager
def as_written(path: Path) -> Iterator[None]:
    """An unexpected error in this block is the fault of the files of a run: they are not as a run
    writes them."""
    try:
        yield
    except (UserError, RunError, OSError):
        raise
    except Exception as fault:  # a file may hold anything
        raise UserError(
            f"{path}: its files are not as a run writes them ({in_a_line(fault, MOST_SAID)})"
        ) from fault
