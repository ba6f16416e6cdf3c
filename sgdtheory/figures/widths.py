"""Barriers between minima against the width and the depth of the network."""

from typing import Any

from sgdtheory.figures.figure import Figure, RunData
from sgdtheory.figures.style import PALE, TRAIN, log_axis, svg_of, wants_log


def widths(run: RunData) -> Figure | None:
    """The barrier on the path and that of the straight line; left against width, right against depth where there is any."""
    tables = run.results.get("tables", {})
    shapes, paths = tables.get("shapes"), tables.get("paths")
    if not shapes or not paths:
        return None
    shallow = sorted((row for row in shapes if row["depth"] == 1), key=lambda row: row["width"])
    most = max((row["width"] for row in shapes), key=[row["width"] for row in shapes].count)
    deep = sorted((row for row in shapes if row["width"] == most), key=lambda row: row["depth"])
    sides = [("width", "units of the one hidden layer", shallow), ("depth", "hidden layers", deep if len(deep) > 1 else [])]
    shown = [side for side in sides if side[2]]

    def paint(canvas: Any) -> None:
        for axes, (key, label, rows) in zip(canvas.subplots(1, len(shown), squeeze=False, sharey=True)[0], shown, strict=True):
            for what, colour, name in (("straight", PALE, "straight line"), ("excess", TRAIN, "AutoNEB's path")):
                _dots(axes, rows, paths, key, what, colour, name)
            if wants_log([row[key] for row in rows]):
                log_axis(axes.xaxis)
            axes.set_xticks([row[key] for row in rows], [str(row[key]) for row in rows])
            axes.minorticks_off()
            axes.set(xlabel=label, title=f"width {rows[0]['width']}" if key == "depth" else "one hidden layer")
            axes.grid(axis="y")
        first = canvas.axes[0]
        log_axis(first.yaxis)
        first.set_ylabel("barrier / nats" if "cross" in run.config else "barrier")
        handles, labels = first.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper right", ncols=2)

    caption = (
        "How far the training loss rises above the higher of two minima: on the straight line between them, and on the path "
        "that AutoNEB finds. Small marks are pairs of minima, large ones means with one standard error over pairs. Only the "
        "lowest of many minima of each network are joined, since between a good and a poor one the poor one itself is the "
        "highest point. A path at the bottom of the picture beside a line near its top: the minima lie in one valley that is "
        "not straight. Wider networks should have lower barriers of both kinds."
    )
    svg = svg_of("widths", 3.6, paint)
    return Figure("widths", "Barriers against the shape of the network", caption, svg, list(_numbers(paths)))


def _dots(
    axes: Any, rows: list[dict[str, Any]], paths: list[dict[str, Any]], key: str, what: str, colour: str, name: str
) -> None:
    """Means with bars, joined; each pair a mark. What is not above zero has no place on a logarithmic axis."""
    means = [row for row in rows if row[what] is not None and row[what] > 0]
    bars = [row.get(f"{what}_stderr") or 0.0 for row in means]
    style: dict[str, Any] = {"fmt": "o-", "color": colour, "elinewidth": 1.1}
    axes.errorbar([row[key] for row in means], [row[what] for row in means], bars, label=name, **style)
    for row in rows:
        found = [_height(path, what) for path in paths if path["hidden"] == row["hidden"]]
        high = [height for height in found if height > 0]
        axes.plot([row[key]] * len(high), high, ".", color=colour, alpha=0.5, markersize=3.5)


def _height(path: dict[str, Any], what: str) -> float:
    found: float = path["excess"]["value"] if what == "excess" else path[what]
    return found


def _numbers(paths: list[dict[str, Any]]) -> Any:
    for path in paths:
        yield {"hidden": path["hidden"], "pair": path["pair"], "straight": path["straight"]} | {
            f"excess_{key}": value for key, value in path["excess"].items()
        }
