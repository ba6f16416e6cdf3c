"""A .csv file as a frame of Polars."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from sgdtheory.errors import UserError, first_line

if TYPE_CHECKING:
    from polars import DataFrame, Series

Separator: TypeAlias = Literal[",", ";", "\t"]

HEAD = 1 << 16  # bytes in which the row of names ends


def read_csv(path: Path, where: str) -> "tuple[DataFrame, Separator]":
    """The frame of a .csv file, blanks about names and values left out, and what separates its
    fields. Raises UserError for one that cannot be read, has no row of names or a name twice."""
    import polars as pl

    separator = _separator(path, where)
    try:
        frame = pl.read_csv(path, infer_schema_length=None, separator=separator)
    except (pl.exceptions.PolarsError, OSError, ValueError) as fault:
        why = _uneven(path, separator) or unreadable(fault)
        raise UserError(f"{where}: {why}") from fault
    written = _header(path, separator) or frame.columns  # Polars numbers names that come again
    if all(map(_is_number, written)):
        raise UserError(
            f"{where}: its first row is numbers ({', '.join(written[:3])}, …); give the "
            f"columns names in a row above"
        )
    names = [name.strip() for name in frame.columns]
    _refuse_twice([name for name in written if name], where)
    _refuse_twice(names, where)
    frame.columns = names
    stripped = [_stripped(frame[name]) for name in names]
    return frame.with_columns(stripped), separator


def _header(path: Path, separator: "Separator") -> list[str]:
    """The names in the first row that is not empty, as they are written; none where they cannot be
    read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter=separator)
            first = next(filter(None, rows), [])
    except (OSError, ValueError, csv.Error):
        return []
    return [name.strip() for name in first]


def _refuse_twice(names: list[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{where}: two columns are called {name!r}; give them other names")
        seen.add(name)


def _separator(path: Path, where: str) -> "Separator":
    """What separates fields: commas, unless the row of names has none."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{where}: is text in UTF-16; save it in UTF-8")
    names = head.split(b"\n", 1)[0]
    if b"," not in names:
        if b";" in names:
            return ";"
        if b"\t" in names:
            return "\t"
    return ","


def _uneven(path: Path, separator: "Separator") -> str:
    """Which row has more fields than there are names; empty where none has."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, delimiter=separator)
            names = next(rows)
            for number, row in enumerate(rows, 1):
                if len(row) > len(names):
                    return (
                        f"row {number} has {len(row)} fields, but the first line names "
                        f"{len(names)} columns; decimals are written with points, and names stand "
                        f"in the first line"
                    )
    except (OSError, ValueError, csv.Error, StopIteration):
        pass
    return ""


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _stripped(values: "Series") -> "Series":
    """Words without blanks about them, and numbers where all of them are numbers then."""
    import polars as pl

    if values.dtype != pl.String:
        return values
    words = values.str.strip_chars()
    words = words.set(words == "", None)
    for kind in (pl.Int64, pl.Float64):
        numbers = words.cast(kind, strict=False)
        if numbers.null_count() == words.null_count() < len(words):
            return numbers
    return words


def unreadable(fault: Exception) -> str:
    """What is said of a file that Polars does not read."""
    why = first_line(fault)
    return f"cannot be read ({why[:160]})"
