"""How the cloud looks while it spreads."""

from typing import TYPE_CHECKING

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.cloud_panels import draw_cloud, panels_of
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.recorded_clouds import Clouds
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def spreading(run: RunData) -> Figure | None:
    """The cloud in the plane of its steepest and its flattest recorded direction, at a few
    moments."""
    clouds = Clouds.of(run)
    if clouds is None or len(clouds.kept) < 2:
        return None
    i = clouds.kept[0]
    j = clouds.kept[-1]
    steep = in_short(clouds.curvatures[i], 2)
    flat = in_short(clouds.curvatures[j], 2)
    cell, trajectory = clouds.slow[0]
    *moments, rest = panels_of(trajectory, i, j)

    def paint(canvas: "Canvas") -> None:
        panels = [*moments, rest]
        all_axes = canvas.subplots(1, len(panels), sharex=True, sharey=True)
        for axes, panel in zip(all_axes, panels, strict=True):
            draw_cloud(axes, panel, rest)
        all_axes[0].set_ylabel(f"along h = {flat}")
        canvas.supxlabel(f"along h = {steep}", fontsize=9.5)

    caption = (
        f"Every dot is a replica of the cell η = {cell['learning_rate']:g}, b = "
        f"{cell['batch_size']}, seen in the plane of two Hessian directions through the minimum; "
        f"the ellipse is twice the standard deviation at rest. The steep direction fills at once, "
        f"the flat one later; which of the two is wider at rest is decided by Cᵢᵢ/hᵢ."
    )
    rows: Rows = []
    for name, along_steep, along_flat in moments:
        for x, y in zip(along_steep.tolist(), along_flat.tolist(), strict=True):
            rows.append({"panel": name, "x": x, "y": y})
    drawing = drawing_of("spreading", 2.2, paint)
    return Figure("spreading", "The cloud as it spreads", caption, drawing, rows)
