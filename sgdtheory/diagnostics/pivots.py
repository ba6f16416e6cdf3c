"""The pivots of found paths: what diagnostics say of each, and how it changes along the path."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from sgdtheory.diagnostics.diagnostic import Diagnostic, columns_of, units_of
from sgdtheory.landscape import Landscape
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Unit
from sgdtheory.statistics.measured import Plot, Rows

DRAWN = {  # columns that have a panel of their own, with the words on their axis
    "top_eigenvalue": "largest eigenvalue of the Hessian",
    "trace": "Tr H",
    "noise_trace": "Tr C",
    "sharpness": "sharpness (Keskar et al., metric 2.1)",
}


def units_on_paths(
    diagnostics: Mapping[str, Diagnostic], landscape: Landscape, edges: list[Unit], run: Run
) -> list[Unit]:
    """One unit a diagnostic and finished edge."""
    done = [edge for edge in edges if run.result(edge) is not None]
    return [unit for edge in done for unit in units_of(diagnostics, landscape, [edge], run, "path")]


def points_of(
    diagnostics: Mapping[str, Diagnostic],
    landscape: Landscape,
    paths: Iterable[tuple[Unit, tuple[int, int], Tensor]],
    run: Run,
) -> Rows:
    """A row a pivot of finished edges, each with its pair and arc positions t [pivots] in 0 … 1:
    edge, t, and the columns. Ends are pivots too."""
    rows = []
    for edge, (i, j), t in paths:
        measured = units_of(diagnostics, landscape, [edge], run, "path")
        columns = columns_of(measured, run, len(t))
        rows += [
            {"edge": f"{i}-{j}", "t": at, **row}
            for at, row in zip(t.tolist(), columns, strict=True)
            if row
        ]
    return rows


def pictures(rows: Rows) -> Rows:
    """What was measured along the paths, a panel each."""
    shown = tuple(name for name in DRAWN if any(row.get(name) is not None for row in rows))
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
