"""The columns that finished diagnostics add to the tables of points."""

from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit
from sgdtheory.statistics.rows import Rows


def columns_of(units: list[Unit], run: Run, points: int) -> Rows:
    """The columns that finished diagnostics add to the row of each point."""
    rows: Rows = [{} for _ in range(points)]
    for unit in units:
        result = run.result(unit) or {"rows": []}
        for row, columns in zip(rows, result["rows"], strict=False):
            row.update(columns)
    return rows


def names_of(units: list[Unit], run: Run) -> dict[str, dict[str, list[str]]]:
    """`diagnostics` of results.json: the columns of each finished one, with their errors and
    reasons, by its name; nothing where there is none."""
    names = {}
    for unit in units:
        result = run.result(unit) or {"rows": []}
        columns: dict[str, None] = {}  # in the order in which they first appear
        for row in result["rows"]:
            columns |= dict.fromkeys(row)
        if columns:
            names[unit.name] = list(columns)
    return {"diagnostics": names} if names else {}
