"""Which units of a run are finished."""

from collections.abc import Iterable

from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit


def all_finished(run: Run, units: Iterable[Unit]) -> bool:
    """Whether every one of these units has a result."""
    return all(run.result(unit) is not None for unit in units)


def unfinished(run: Run, units: Iterable[Unit]) -> list[Unit]:
    """Those of the units that have no result."""
    return [unit for unit in units if run.result(unit) is None]
