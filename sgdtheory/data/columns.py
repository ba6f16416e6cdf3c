"""The columns of a table in a file: features, and a target."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sgdtheory.data.csv_file import read_csv, unreadable
from sgdtheory.errors import UserError, nearest

if TYPE_CHECKING:
    from polars import DataFrame, DataType, Series

NUMBERED = re.compile(r"(_duplicated_\d+)?|Unnamed: \d+(\.\d+)?|__index_level_\d+__")  # no names
WITH_COMMAS = re.compile(r"[+-]?\d*(,\d+)+(\.\d*)?([eE][+-]?\d+)?")  # 0,94 and 1,234.5
SEPARATORS = {";": "semicolons", "\t": "tabs"}  # besides commas
DATE = r"^\d{4}-\d{2}-\d{2}([T ].*)?$"
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
    import polars as pl  # here, because only tables need it

    told = []
    frame = _parquet(path, where)
    if frame is None:
        frame, separator = read_csv(path, where)
        if separator != ",":
            told.append(f"fields are separated by {SEPARATORS[separator]}")
    frame = frame.with_columns([_plain(frame[name]) for name in frame.columns])
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
        if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
            raise UserError(f"{where}: {_no_numbers(series)}")
        inputs.append(series.cast(pl.Float64).to_numpy())
    features = np.stack(inputs, 1)
    return Columns(features, _target(frame[name], kind, where), tuple(told))


def _target(values: "Series", kind: str, where: str) -> np.ndarray:
    """A target [N] as an array; UserError where it is neither numbers nor words, or where words may
    not be meant."""
    import polars as pl

    if fault := _no_value(values):
        raise UserError(f"{where}: {fault}")
    if values.dtype in _wide_kinds():  # of which numpy knows nothing
        if kind == "auto":
            raise UserError(
                f"{where}: column {values.name!r} holds whole numbers beyond 64 bits "
                f"({values[0]}); say data.kind=numbers, or data.kind=classes if they name classes"
            )
        values = values.cast(pl.String if kind == "classes" else pl.Float64)
    if kind != "classes":
        if fault := _nearly_numbers(values):
            raise UserError(f"{where}: {fault}; if they name classes, say data.kind=classes")
        if fault := _dates(values):
            raise UserError(f"{where}: {fault}, or say data.kind=classes if they name classes")
    return values.to_numpy()


# files


def _parquet(path: Path, where: str) -> "DataFrame | None":
    """The frame of a .parquet file; None where it is none."""
    import polars as pl

    if path.suffix != ".parquet":
        return None
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as fault:
        raise UserError(f"{where}: {unreadable(fault)}") from fault


# columns


def _wide_kinds() -> "list[type[DataType]]":
    """The whole numbers of 128 bits that this Polars knows: before 1.34 signed ones alone."""
    import polars as pl

    return [getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name)]


def _plain(values: "Series") -> "Series":
    """Decimals as what they are, whole numbers or others, and whole numbers of 128 bits in 64 where
    they fit."""
    import polars as pl

    if isinstance(values.dtype, pl.Decimal):
        if values.dtype.scale:
            return values.cast(pl.Float64)
        values = values.cast(pl.Int128)
    if values.dtype in _wide_kinds():
        for kind in (pl.Int64, pl.UInt64):
            narrow = values.cast(kind, strict=False)
            if narrow.null_count() == values.null_count():
                return narrow
    return values


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
    import polars as pl

    count = len(values)
    if not values.dtype.is_numeric() or not count or values[0] not in (0, 1):
        return False
    numbers = values.cast(pl.Float64).to_numpy()
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
    if fault := _no_value(values) or _dates(values):
        return f"{fault}, or leave it out"
    if fault := _nearly_numbers(values):
        return fault
    word = str(values[0])[:LONGEST]
    return (
        f"column {values.name!r} holds words ({word!r}), not numbers; leave it out or write it as "
        f"numbers"
    )


def _no_value(values: "Series") -> str:
    """What is said of a column whose values are neither numbers nor words; empty of others."""
    import polars as pl

    kind = values.dtype
    if kind.is_temporal():
        return (
            f"column {values.name!r} holds dates or times ({values[0]}): write them as numbers, "
            f"such as days since the first"
        )
    if kind.is_nested() or kind == pl.Object:
        return (
            f"column {values.name!r} holds more than one value a row ({str(kind)[:LONGEST]}): give "
            f"each a column of its own"
        )
    return ""


def _dates(values: "Series") -> str:
    """What is said of words that are dates all, as 2024-12-31; empty of others."""
    import polars as pl

    if values.dtype != pl.String or not values.str.contains(DATE).all():
        return ""
    return (
        f"column {values.name!r} holds dates ({values[0]!r}): write them as numbers, such as days "
        f"since the first"
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
