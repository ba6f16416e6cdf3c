"""The role of a diagnostic, which describes each point of a cloud, and its unit of work."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.roles import device_of
from sgdtheory.runs.extra import FAULTS, nothing, reason
from sgdtheory.runs.folder import CorruptFile, Folder
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, Rows, row_of


@runtime_checkable
class Diagnostic(Protocol):
    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of any cloud [P, n]; pure."""
        ...


def units_of(
    diagnostics: Mapping[str, Diagnostic],
    of: list[Unit],
    run: Run,
    cloud: str = "minima",
) -> list[Unit]:
    """One unit for each diagnostic, identified by its settings and by the units whose `cloud` it
    measures."""
    science = {"landscape": run.science["landscape"], "of": [unit.hash for unit in of]}
    suffix = ""
    if cloud != "minima":
        science["cloud"] = cloud
        suffix = f"-{cloud}-" + "-".join(unit.name for unit in of)
    units = []
    for column in diagnostics:
        settings = {"diagnostic": run.science["diagnostic"][column], "column": column}
        units.append(Unit(f"{column}{suffix}", {**science, **settings}))
    return units


def diagnose(
    diagnostics: Mapping[str, Diagnostic], landscape: Landscape, folder: UnitFolder
) -> None:
    """Measure the points of the units that came before, and keep the columns.

    A point at which a diagnostic fails has nulls with the reason in its columns, the others have
    their numbers; where it fails at all points its columns are unknown, and one is named after it.
    """
    science = folder.unit.science
    kind, name = science.get("cloud", "minima"), science["column"]
    clouds = [_cloud(folder, hash_, kind) for hash_ in science["of"]]
    cloud = torch.cat(clouds).to(device_of(landscape))
    folder.finish({"rows": _rows(diagnostics[name], name, landscape, cloud)}, {})


def _rows(
    diagnostic: Diagnostic,
    name: str,
    landscape: Landscape,
    cloud: Cloud,
) -> Rows:
    """One row of columns for each point of a cloud [P, n]; the points one by one only where all
    together fail."""
    try:
        return [row_of({}, **numbers) for numbers in diagnostic(landscape, cloud)]
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


def columns_of(units: list[Unit], run: Run, points: int) -> Rows:
    """The columns that finished diagnostics add to the row of each point."""
    rows: Rows = [{} for _ in range(points)]
    for unit in units:
        result = run.result(unit) or {"rows": []}
        for row, columns in zip(rows, result["rows"], strict=False):
            row.update(columns)
    return rows


def _cloud(folder: UnitFolder, hash_: str, name: str) -> Tensor:
    """A cloud [P, n] of a finished unit of the same run."""
    path = folder.path.parent / hash_
    facts = Folder(path).read_json("unit.json")
    unit = Unit(facts["name"], facts["science"])
    cloud: Tensor = UnitFolder(path, unit).clouds()[name]
    return cloud
