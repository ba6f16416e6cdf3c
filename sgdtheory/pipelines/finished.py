"""Which units of a run are finished, and what these have found."""

from collections.abc import Iterable

from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit
from sgdtheory.statistics.rows import Rows


def all_finished(run: Run, units: Iterable[Unit]) -> bool:
    """Whether every one of these units has a result."""
    return all(run.result(unit) is not None for unit in units)


def unfinished(run: Run, units: Iterable[Unit]) -> list[Unit]:
    """Those of the units that have no result."""
    return [unit for unit in units if run.result(unit) is None]


def rows_of(run: Run, units: Iterable[Unit]) -> Rows:
    """The rows of those of the units that are finished, in order."""
    rows: Rows = []
    for unit in units:
        result = run.result(unit) or {"rows": []}
        rows += result["rows"]
    return rows
