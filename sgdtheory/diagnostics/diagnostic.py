"""What can be said of the points of one cloud: the role of a diagnostic, and its unit of work."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol, runtime_checkable

import torch

from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.roles import device_of
from sgdtheory.runs.extra import FAULTS, nothing, reason
from sgdtheory.runs.folder import CorruptFile
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, Row, Rows


@runtime_checkable
class Diagnostic(Protocol):
    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of any cloud [P, n]; pure."""
        ...


def units_of(
    diagnostics: Mapping[str, Diagnostic],
    landscape: Landscape,
    needs: list[Unit],
    run: Run,
    cloud: str = "minima",
) -> list[Unit]:
    """One unit a diagnostic, known by what it measures and by the units whose `cloud` it
    measures."""
    what = {"landscape": run.science["landscape"], "of": [unit.hash for unit in needs]}
    name = ""
    if cloud != "minima":
        what = {**what, "cloud": cloud}
        name = f"-{cloud}-" + "-".join(unit.name for unit in needs)
    return [
        Unit(
            f"{column}{name}",
            {**what, "diagnostic": run.science["diagnostic"][column], "column": column},
            partial(diagnose, diagnostic, column, landscape, cloud),
            tuple(needs),
        )
        for column, diagnostic in diagnostics.items()
    ]


def diagnose(
    diagnostic: Diagnostic, column: str, landscape: Landscape, cloud: str, folder: UnitFolder
) -> None:
    """Measure the points of the units that came before, and keep the columns.

    A point at which a diagnostic fails has nulls with the reason in its columns, the others have
    their numbers; where it fails at all points nobody knows its columns, and one is named after it.
    """
    points = torch.cat([needed.clouds()[cloud] for needed in folder.needed()])
    rows = _rows(diagnostic, column, landscape, points.to(device_of(landscape)))
    folder.finish({"rows": rows}, {})


def _rows(diagnostic: Diagnostic, name: str, landscape: Landscape, cloud: Cloud) -> Rows:
    """A row of columns a point; the points one by one only where all together fail."""
    try:
        return [_columns(row) for row in diagnostic(landscape, cloud)]
    except CorruptFile:
        raise
    except FAULTS as fault:
        if len(cloud) == 1:
            return [nothing([name], reason(fault))]
    found = [_rows(diagnostic, name, landscape, theta[None])[0] for theta in cloud]
    failed = f"{name}_why"
    whole = next((row for row in found if failed not in row), None)
    if whole is None:
        return found
    numbers = [key for key in whole if not key.endswith(("_stderr", "_why"))]
    return [row if failed not in row else nothing(numbers, row[failed]) for row in found]


def _columns(row: Mapping[str, Measured]) -> Row:
    return {name: value for key, x in row.items() for name, value in x.columns(key).items()}


def columns_of(units: list[Unit], run: Run, points: int) -> Rows:
    """The columns that finished diagnostics add to the row of each point."""
    found: Rows = [{} for _ in range(points)]
    for unit in units:
        for row, columns in zip(found, (run.result(unit) or {"rows": []})["rows"], strict=False):
            row.update(columns)
    return found
