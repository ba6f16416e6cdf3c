"""Rows of a table, taken apart by what stands in their columns."""

from collections.abc import Sequence
from math import hypot
from typing import Any

from sgdtheory.statistics.measured import Measured, Row, Rows


def grouped(rows: Sequence[Row], column: str) -> dict[Any, Rows]:
    """The rows for each value of a column, in the order in which the values come.

    >>> grouped([{"b": 2, "T": 0.1}, {"b": 1, "T": 0.3}, {"b": 2, "T": 0.2}], "b").keys()
    dict_keys([2, 1])
    """
    return {key: group for (key,), group in grouped_by(rows, column).items()}


def grouped_by(rows: Sequence[Row], *columns: str) -> dict[tuple[Any, ...], Rows]:
    """The rows for each combination of values of several columns, in order of appearance.

    >>> list(grouped_by([{"b": 2, "eta": 0.1}, {"b": 1, "eta": 0.1}], "b", "eta"))
    [(2, 0.1), (1, 0.1)]
    """
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def column_of(rows: Sequence[Row], name: str) -> list[Any]:
    """The values of one column.

    >>> column_of([{"b": 2}, {"b": 1}], "b")
    [2, 1]
    """
    return [row[name] for row in rows]


def known(rows: Sequence[Row], name: str) -> Rows:
    """The rows that have a number in a column.

    >>> known([{"T": 0.5}, {"T": None}], "T")
    [{'T': 0.5}]
    """
    return [row for row in rows if row[name] is not None]


def means_of(rows: Sequence[Row], *columns: str) -> dict[str, Measured]:
    """The mean over rows of each of these columns, with its standard error.

    >>> means_of([{"T": 1.0}, {"T": 3.0}], "T")
    {'T': Measured(value=2.0, stderr=1.0, unit='', why='')}
    """
    return {column: Measured.mean(column_of(rows, column)) for column in columns}


def mean_over(
    rows: Sequence[Row],
    name: str,
    group: str,
    unknown: str,
) -> Measured:
    """The mean over groups of the mean over a group's rows, with the standard error over groups,
    which holds that within them; of a single group the error of its rows. No number where one is
    missing, or, for the reason `unknown`, where there are no rows.

    >>> rows = [{"pair": 0, "way": 1.0}, {"pair": 0, "way": 3.0}, {"pair": 1, "way": 4.0}]
    >>> mean_over(rows, "way", "pair", "nothing was released")
    Measured(value=3.0, stderr=1.0, unit='', why='')
    """
    missing = [row for row in rows if row[name] is None]
    if missing or not rows:
        return Measured.nothing(missing[0][f"{name}_why"] if missing else unknown)
    groups = [column_of(own, name) for own in grouped(rows, group).values()]
    means = [sum(values) / len(values) for values in groups]
    if len(means) > 1:
        return Measured.mean(means)
    errors = [row.get(f"{name}_stderr") or 0.0 for row in rows]
    return Measured(means[0], hypot(*errors) / len(rows))


def mean_of_known(rows: Sequence[Row], name: str) -> Measured:
    """The mean of a column, its error from those of its numbers alone, because the rows are no
    sample of anything.

    >>> mean_of_known([{"C": 1.0, "C_stderr": 0.6}, {"C": 3.0, "C_stderr": 0.8}], "C")
    Measured(value=2.0, stderr=0.5, unit='', why='')
    """
    if any(row[name] is None for row in rows):
        return Measured.nothing(f"{name} is not known everywhere")
    errors = [row.get(f"{name}_stderr") or 0.0 for row in rows]
    spread = sum(error**2 for error in errors) ** 0.5 / len(rows)
    mean = sum(column_of(rows, name)) / len(rows)
    return Measured(mean, spread if any(errors) else None)
