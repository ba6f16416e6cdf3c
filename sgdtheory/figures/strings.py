"""How long the strings between two networks are, and how many beads they need, as the loss threshold falls."""

from typing import Any

from sgdtheory.figures.figure import Figure, RunData
from sgdtheory.figures.style import COLOURS, PALE, log_axis, svg_of, wants_log


def strings(run: RunData) -> Figure | None:
    """A panel pair a landscape: normalised length above, beads below, against the threshold; a mark a pair, a line the mean."""
    tables = run.results.get("tables", {})
    means, each = tables.get("lengths"), tables.get("strings")
    if not means or not each:
        return None
    names = list(dict.fromkeys(row["landscape"] for row in means))

    def paint(canvas: Any) -> None:
        panels = canvas.subplots(2, len(names), squeeze=False, sharex="col", height_ratios=[3, 2])
        for k, name in enumerate(names):
            for axes, what in zip(panels[:, k], ("length_ratio", "beads"), strict=True):
                of = [[row for row in rows if row["landscape"] == name] for rows in (means, each)]
                _column(axes, of[0], of[1], what, COLOURS[k])
                axes.grid(axis="y")
            panels[0, k].axhline(1, color=PALE, linewidth=0.9)
            panels[0, k].set_title(name)
            levels = [row["threshold"] for row in means if row["landscape"] == name]
            if wants_log(levels):
                log_axis(panels[1, k].xaxis)
            panels[1, k].invert_xaxis()
            panels[1, k].set_xlabel("threshold")
        panels[0, 0].set_ylabel("length / straight line")
        panels[1, 0].set_ylabel("beads")
        if wants_log([row["length_ratio"] for row in each if row["length_ratio"] is not None]):
            log_axis(panels[0, 0].yaxis)

    missing = sum(row["length_ratio"] is None for row in each)
    left = f" {missing} of {len(each)} strings were not found within their budget and are left out." if missing else ""
    caption = (
        "A string is a chain of straight pieces between two networks on which the loss stays below the threshold; both ends "
        "are trained just below it too. Above, its length in units of the straight line, below, the points (beads) that had "
        "to be put in between; small marks are single pairs, large ones their mean with one standard error. The threshold "
        "falls to the right. At 1 with no beads the straight line itself is low enough, as it always is on a convex "
        f"landscape; how far the curves rise says how curved the valleys are that the networks lie in.{left}"
    )
    svg = svg_of("strings", 4.2, paint)
    return Figure("strings", "Ever longer ways at ever lower loss", caption, svg, each)


def _column(axes: Any, means: list[dict[str, Any]], each: list[dict[str, Any]], what: str, colour: str) -> None:
    known = [row for row in means if row[what] is not None]
    if known:
        bars = [row.get(f"{what}_stderr") or 0.0 for row in known]
        axes.errorbar(
            [row["threshold"] for row in known], [row[what] for row in known], bars, fmt="o-", color=colour, elinewidth=1.1
        )
    dots = [row for row in each if row[what] is not None]
    axes.plot([row["threshold"] for row in dots], [row[what] for row in dots], ".", color=colour, alpha=0.5, markersize=3.5)
