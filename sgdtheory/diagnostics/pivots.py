"""Diagnostics at the pivots of paths, and how they change along a path."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from sgdtheory.diagnostics.columns import columns_of
from sgdtheory.diagnostics.diagnostic import Diagnostic, units_of
from sgdtheory.protocol import Landscape
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit
from sgdtheory.statistics.measured import Plot
from sgdtheory.statistics.rows import Rows

DRAWN = {  # columns that have a panel of their own, with the words on their axis
    "top_eigenvalue": "largest eigenvalue of the Hessian",
    "trace": "Tr H",
    "noise_trace": "Tr C",
    "sharpness": "sharpness (Keskar et al., metric 2.1), at least",
}


def units_on_paths(
    diagnostics: Mapping[str, Diagnostic], landscape: Landscape, edges: list[Unit], run: Run
) -> list[Unit]:
    """One unit for each diagnostic and finished edge."""
    units = []
    for edge in edges:
        if run.result(edge) is not None:
            units += units_of(diagnostics, landscape, [edge], run, "path")
    return units


def points_of(
    diagnostics: Mapping[str, Diagnostic],
    landscape: Landscape,
    paths: Iterable[tuple[Unit, tuple[int, int], Tensor]],
    run: Run,
) -> Rows:
    """One row for each pivot of finished edges, ends included: edge, t, and the columns. An edge
    comes with its pair and the arc positions t [pivots] in 0 … 1."""
    rows = []
    for edge, (i, j), t in paths:
        units = units_of(diagnostics, landscape, [edge], run, "path")
        for at, columns in zip(t.tolist(), columns_of(units, run, len(t)), strict=True):
            if columns:
                rows.append({"edge": f"{i}-{j}", "t": at, **columns})
    return rows


def pictures(rows: Rows) -> Rows:
    """The columns that were measured along the paths, one panel for each."""
    measured = {name for row in rows for name in row if row[name] is not None}
    shown = tuple(name for name in DRAWN if name in measured)
    if not shown:
        return []
    plot = Plot(
        "along_paths",
        "What the ground is like along the paths",
        "Diagnostics at the pivots of each path, bars are one standard error; the ends are "
        "the minima. Where curvature and "
        "noise rise in the middle and the loss does not, noise drives SGD back to the ends: "
        "entropic confinement "
        "(2512.06297). All are of the objective, with its L2 term, over all training images.",
        "points",
        "t",
        shown,
        by="edge",
        labels={"t": "arc position on the path", **DRAWN},
    )
    return [plot.as_dict()]
