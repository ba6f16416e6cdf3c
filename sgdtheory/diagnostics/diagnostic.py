"""The role of a diagnostic, which describes each point of a cloud, and its unit of work."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Protocol, runtime_checkable

import torch

from sgdtheory.diagnostics.answer import rows_answered
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.extra import FAULTS, nothing, reason
from sgdtheory.runs.folder import CorruptFile
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Rows


@runtime_checkable
class Diagnostic(Protocol):
    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of any cloud [P, n]; pure."""
        ...


@runtime_checkable
class Particular(Diagnostic, Protocol):
    """A diagnostic that cannot be asked of every landscape."""

    def refuse(self, landscape: Landscape, key: str) -> None:
        """Raise UserError where it cannot be asked; `key`: where its settings stand."""
        ...


@runtime_checkable
class Corrected(Diagnostic, Protocol):
    """A diagnostic that has measured something else under the same settings: `by`, what its units
    are known by since, so that old numbers do not stand beside new ones."""

    by: ClassVar[str]


def refuse_unfit(diagnostics: Mapping[str, Diagnostic], landscape: Landscape) -> None:
    """Raise UserError for a diagnostic that cannot be asked of a landscape, before any work is
    begun."""
    for column, diagnostic in diagnostics.items():
        if isinstance(diagnostic, Particular):
            diagnostic.refuse(landscape, f"diagnostic.{column}")


def units_of(
    diagnostics: Mapping[str, Diagnostic],
    landscape: Landscape,
    needs: list[Unit],
    run: Run,
    cloud: str = "minima",
) -> list[Unit]:
    """One unit for each diagnostic, identified by its settings and by the units whose `cloud` it
    measures."""
    config = {"landscape": run.science["landscape"], "of": [unit.hash for unit in needs]}
    suffix = ""
    if cloud != "minima":
        config["cloud"] = cloud
        suffix = f"-{cloud}-" + "-".join(unit.name for unit in needs)
    units = []
    for column, diagnostic in diagnostics.items():
        settings = {"diagnostic": run.science["diagnostic"][column], "column": column}
        if isinstance(diagnostic, Corrected):
            settings["by"] = diagnostic.by
        work = partial(diagnose, diagnostic, column, landscape, cloud)
        units.append(Unit(f"{column}{suffix}", {**config, **settings}, work, tuple(needs)))
    return units


def diagnose(
    diagnostic: Diagnostic, column: str, landscape: Landscape, cloud: str, folder: UnitFolder
) -> None:
    """Measure the points of the units that came before, and keep the columns.

    A point at which a diagnostic fails has nulls with the reason in its columns, the others have
    their numbers; where it fails at all points its columns are unknown, and one is named after it.
    """
    points = torch.cat([needed.clouds()[cloud] for needed in folder.needed()])
    rows = _rows(diagnostic, column, landscape, points.to(device_of(landscape)))
    folder.finish({"rows": rows}, {})


def _rows(
    diagnostic: Diagnostic,
    name: str,
    landscape: Landscape,
    cloud: Cloud,
) -> Rows:
    """One row of columns for each point of a cloud [P, n]; the points one by one only where all
    together fail."""
    try:
        answer = rows_answered(diagnostic(landscape, cloud), name, len(cloud))
        return [row_of({}, **numbers) for numbers in answer]
    except CorruptFile:
        raise
    except FAULTS as fault:
        if len(cloud) == 1:
            return [nothing([name], reason(fault))]
    rows = [_rows(diagnostic, name, landscape, theta[None])[0] for theta in cloud]
    failed = f"{name}_why"
    complete = next((row for row in rows if failed not in row), None)
    if complete is None:
        return rows
    columns = [key for key in complete if not key.endswith(("_stderr", "_why"))]
    return [row if failed not in row else nothing(columns, row[failed]) for row in rows]
