"""Rows of a table, taken apart by what stands in their columns."""

from collections.abc import Sequence
from math import hypot
from typing import Any

from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.rows import Row, Rows


def grouped(rows: Sequence[Row], column: str) -> dict[Any, Rows]:
    """The rows for each value of a column, in the order in which the values come.

    >>> grouped([{"b": 2, "T": 0.1}, {"b": 1, "T": 0.3}, {"b": 2, "T": 0.2}], "b").keys()
    dict_keys([2, 1])
    """
    groups: dict[Any, Rows] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups


def grouped_by(rows: Sequence[Row], *columns: str) -> dict[tuple[Any, ...], Rows]:
    """The rows for each combination of values of several columns, in order of appearance.

    >>> list(grouped_by([{"b": 2, "eta": 0.1}, {"b": 1, "eta": 0.1}], "b", "eta"))
    [(2, 0.1), (1, 0.1)]
    """
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        values = tuple(row[column] for column in columns)
        groups.setdefault(values, []).append(row)
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
    if not rows:
        return Measured.nothing(unknown)
    for row in rows:
        if row[name] is None:
            return Measured.nothing(row[f"{name}_why"])
    means = []
    for members in grouped(rows, group).values():
        values = column_of(members, name)
        means.append(sum(values) / len(values))
    if len(means) > 1:
        return Measured.mean(means)
    errors = _errors_of(rows, name)
    error = hypot(*errors) / len(rows)
    return Measured(means[0], error)


def mean_of_known(rows: Sequence[Row], name: str) -> Measured:
    """The mean of a column, its error from those of its numbers alone, because the rows are no
    sample of anything.

    >>> mean_of_known([{"C": 1.0, "C_stderr": 0.6}, {"C": 3.0, "C_stderr": 0.8}], "C")
    Measured(value=2.0, stderr=0.5, unit='', why='')
    """
    if any(row[name] is None for row in rows):
        return Measured.nothing(f"{name} is not known everywhere")
    count = len(rows)
    mean = sum(column_of(rows, name)) / count
    errors = _errors_of(rows, name)
    if not any(errors):
        return Measured(mean)
    squares = sum(error**2 for error in errors)
    return Measured(mean, squares**0.5 / count)


def _errors_of(rows: Sequence[Row], name: str) -> list[float]:
    """The standard errors of a column; 0 for a number without one."""
    errors = [row.get(f"{name}_stderr") for row in rows]
    return [error or 0.0 for error in errors]
