"""The columns of a table in a file: features, and a target."""

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from sgdtheory.errors import UserError, first_line, nearest

if TYPE_CHECKING:
    from polars import DataFrame, Series

NUMBERED = re.compile(r"(_duplicated_\d+)?|Unnamed: \d+(\.\d+)?|__index_level_\d+__")  # no names
WITH_COMMAS = re.compile(r"[+-]?\d*(,\d+)+(\.\d*)?([eE][+-]?\d+)?")  # 0,94 and 1,234.5
SEPARATORS = {";": "semicolons", "\t": "tabs"}  # besides commas
HEAD = 1 << 16  # bytes in which the row of names ends
LONGEST = 40  # letters of a value that is shown


class Columns(NamedTuple):
    """Features float64 [N, d], the target [N] as it stands there, and what is to be told."""

    inputs: np.ndarray
    target: np.ndarray
    told: tuple[str, ...]


def columns_of(path: Path, target: str | None, kind: str, where: str) -> Columns:
    """The columns of a .csv or .parquet file, the `target` (None: the last) by itself.

    Left out, and told, are row numbers without a name, as pandas and R write them. Raises UserError
    for a target that is not there, columns without a name, values that are missing, and values that
    are no numbers.
    """
    told = []
    frame = _parquet(path, where)
    if frame is None:
        frame, separator = _csv(path, where)
        if separator != ",":
            told.append(f"fields are separated by {SEPARATORS[separator]}")
    frame, numbers = _without_row_numbers(frame, target, where)
    told += numbers
    columns = frame.columns
    if len(columns) < 2 or not len(frame):
        raise UserError(
            f"{where}: has {len(columns)} columns (separated by commas) and {len(frame)} rows"
        )
    name = columns[-1] if target is None else target
    if name not in columns:
        hint = nearest(name, columns)
        raise UserError(f"{where}: has no column {name!r}{hint}")
    inputs = []
    for column in columns:
        series = frame[column]
        _refuse_missing(series, where)
        if column == name:
            continue
        values = series.to_numpy()
        if values.dtype.kind not in "fiub":
            raise UserError(f"{where}: {_no_numbers(series)}")
        inputs.append(values.astype(np.float64))
    if kind != "classes" and (fault := _nearly_numbers(frame[name])):
        raise UserError(f"{where}: {fault}; if they name classes, say data.kind=classes")
    features = np.stack(inputs, 1)
    return Columns(features, frame[name].to_numpy(), tuple(told))


# files


def _parquet(path: Path, where: str) -> "DataFrame | None":
    """The frame of a .parquet file; None where it is none."""
    import polars as pl  # here, because only tables need it

    if path.suffix != ".parquet":
        return None
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as fault:
        raise UserError(f"{where}: {_unreadable(fault)}") from fault


def _unreadable(fault: Exception) -> str:
    why = first_line(fault)
    return f"cannot be read ({why[:160]})"


def _csv(path: Path, where: str) -> "tuple[DataFrame, Literal[',', ';', '\t']]":
    """The frame of a .csv file, and what separates its fields."""
    import polars as pl

    separator = _separator(path, where)
    try:
        frame = pl.read_csv(path, infer_schema_length=None, separator=separator)
    except (pl.exceptions.PolarsError, OSError, ValueError) as fault:
        why = _uneven(path, separator) or _unreadable(fault)
        raise UserError(f"{where}: {why}") from fault
    if all(map(_is_number, frame.columns)):
        raise UserError(
            f"{where}: its first row is numbers ({', '.join(frame.columns[:3])}, …); give the "
            f"columns names in a row above"
        )
    names = [name.strip() for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where}: two columns are called {twice!r}; give them other names")
    frame.columns = names
    stripped = [_stripped(frame[name]) for name in names]
    return frame.with_columns(stripped), separator


def _separator(path: Path, where: str) -> "Literal[',', ';', '\t']":
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


def _uneven(path: Path, separator: str) -> str:
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


# columns


def _without_row_numbers(
    frame: "DataFrame", target: str | None, where: str
) -> "tuple[DataFrame, list[str]]":
    """A frame without unnamed row numbers, and what is to be told of it."""
    told = []
    for place, name in enumerate(frame.columns, 1):
        if name == target or not NUMBERED.fullmatch(name):
            continue
        values = frame[name]
        if not _counts_rows(values):
            first = ", ".join(str(value)[:LONGEST] for value in values.head(3))
            raise UserError(
                f"{where}: column {place} has no name (it holds {first}, …); give it one, or take "
                f"the column out"
            )
        frame = frame.drop(name)
        told.append(f"column {place}, row numbers without a name, is left out")
    return frame, told


def _counts_rows(values: "Series") -> bool:
    """Whether a column is 0, 1, … or 1, 2, …"""
    numbers = values.to_numpy()
    count = len(numbers)
    if numbers.dtype.kind not in "fiu" or not count or numbers[0] not in (0, 1):
        return False
    counted = np.arange(count) + numbers[0]
    return bool((numbers == counted).all())


def _refuse_missing(values: "Series", where: str) -> None:
    missing = values.null_count()
    if missing:
        row = _first_row(values.is_null())
        raise UserError(
            f"{where}: column {values.name!r} is empty in {missing} rows, first in row {row}"
        )


def _first_row(is_so: "Series") -> int:
    """The number of the first row that is so, counted from 1."""
    return int(is_so.arg_true()[0]) + 1


def _no_numbers(values: "Series") -> str:
    """What is said of a column of features that are no numbers."""
    if fault := _nearly_numbers(values):
        return fault
    word = str(values[0])[:LONGEST]
    return (
        f"column {values.name!r} holds words ({word!r}), not numbers; leave it out or write it as "
        f"numbers"
    )


def _nearly_numbers(values: "Series") -> str:
    """What keeps a column of words from being numbers: a few of them, or commas; empty where they
    are words."""
    import polars as pl

    if values.dtype != pl.String:
        return ""
    is_wrong = values.cast(pl.Float64, strict=False).is_null()
    wrong = values.filter(is_wrong)
    if len(wrong) == 0:
        return ""
    word = str(wrong[0])[:LONGEST]
    row = _first_row(is_wrong)
    if WITH_COMMAS.fullmatch(word):
        return (
            f"column {values.name!r} has commas in its numbers ({word!r} in row {row}): decimals "
            f"are written with points, thousands with nothing"
        )
    if 2 * len(wrong) >= len(values):
        return ""
    what = "a value that is no number:"
    rows = "the row"
    if len(wrong) > 1:
        what = f"values that are no numbers in {len(wrong)} rows, first"
        rows = "these rows"
    return (
        f"column {values.name!r} has {what} {word!r} in row {row}; write numbers, or take "
        f"{rows} out"
    )
