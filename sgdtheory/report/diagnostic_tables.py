"""The rows of a table by what they say: scores, then each diagnostic by itself."""

from collections.abc import Iterable, Iterator

from sgdtheory.statistics.rows import Row, Rows


def by_diagnostic(rows: Rows, results: Row) -> Iterator[tuple[str, Rows]]:
    """("", the rows without the columns of diagnostics), then for each of these its name, and the
    rows that it has given. One table of them all is too wide to be read."""
    diagnostics: dict[str, list[str]] = results.get("diagnostics", {})
    measured: set[str] = set()
    for columns in diagnostics.values():
        measured.update(columns)
    # with batch norm a minimum has a row for each b
    keys = [key for key in ("name", "batch_size") if key not in measured]
    yield "", [_without(row, measured) for row in rows]
    for name, columns in diagnostics.items():
        yield name, [_taken(row, [*keys, *columns]) for row in rows]


def _without(row: Row, columns: set[str]) -> Row:
    return {name: value for name, value in row.items() if name not in columns}


def _taken(row: Row, columns: Iterable[str]) -> Row:
    return {name: row[name] for name in columns if name in row}
