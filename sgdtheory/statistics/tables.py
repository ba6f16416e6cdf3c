"""Rows of a table, taken apart by what stands in their columns."""

from collections.abc import Sequence
from typing import Any

from sgdtheory.statistics.measured import Row, Rows


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
