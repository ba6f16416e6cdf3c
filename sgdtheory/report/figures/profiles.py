"""The loss along each path, beside the straight line between the same two minima."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.edges import (
    MOST_PANELS,
    WAYS,
    barrier,
    by,
    grid_of,
    named,
    path_name,
    plain,
    quantity,
    straight,
    tree_edges,
    unit,
)
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, PALE, TEST, TRAIN, log_axis, wants_log
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# of the straight line's height: a path that moves less is drawn once more on a scale of its own
FLAT = 0.2
FEW = 30  # points of a way, up to which each is marked
SMOOTH = 150  # points of a curve that is drawn between them
STYLES: dict[str, Row] = {
    "linear": {"color": PALE, "linewidth": 1.6},
    "aligned": {"color": COLOURS[3], "linewidth": 0.9},
    "bezier": {"color": COLOURS[2], "linewidth": 0.9},
    "path": {"color": TRAIN, "linewidth": 1.8},
}


def profiles(run: RunData) -> Figure | None:
    """One panel an edge of the spanning tree; below it the path alone, where it is too flat to be
    judged beside the line."""
    edges = tree_edges(run)[:MOST_PANELS]
    if not edges:
        return None
    close = False
    for row in edges:
        whole = _range(row, ["linear", "path"])
        close = close or _range(row, ["path"]) < FLAT * whole
    rows, columns = grid_of(len(edges))

    def paint(canvas: "Canvas") -> None:
        of_edge = 2 if close else 1
        ratios = [3, 2][:of_edge] * rows
        panels = canvas.subplots(rows * of_edge, columns, squeeze=False, height_ratios=ratios)
        for k in range(rows * columns):
            first = k // columns * of_edge
            column = list(panels[first : first + of_edge, k % columns])
            if k >= len(edges):
                for axes in column:
                    axes.set_axis_off()
                continue
            _draw_edge(column, edges[k])
            if k % columns == 0:
                column[0].set_ylabel(quantity(run))
                if close:
                    column[1].set_ylabel("the path,\nenlarged")
        _legend(canvas, edges, close)

    height = rows * (3.1 if close else 2.4) + 0.3
    drawing = drawing_of("profiles", height, paint)
    return Figure(
        "profiles",
        "The loss along the paths",
        _caption(run, edges, close),
        drawing,
        list(_numbers(edges)),
    )


def _draw_edge(column: "list[Axes]", edge: Row) -> None:
    """All ways of an edge, and below them its path alone where there is a second panel."""
    _all_ways(column[0], edge)
    if len(column) > 1:
        _path_alone(column[1], edge)
        column[0].tick_params(labelbottom=False)
    title = f"{named(edge['pair'])}: barrier {barrier(edge)}{by(edge)}"
    column[0].set_title(title, fontsize=8.8)
    column[-1].set_xlabel("position along the path")
    for axes in column:
        axes.set(xlim=(-0.02, 1.02), xticks=[0, 0.5, 1])
        plain(axes.xaxis)
        axes.grid(axis="y")


def _all_ways(axes: "Axes", edge: Row) -> None:
    """Training loss along all ways, on one linear scale."""
    for name, style in STYLES.items():
        curve = edge["curves"].get(name)
        if curve is not None:
            _draw_way(axes, curve["t"], curve["train_loss"], style)
    _top(axes, edge)


def _draw_way(axes: "Axes", t: list[float], losses: list[float | None], style: Row) -> None:
    """A curve through the losses that were evaluated. Where these are few each has a dot, and
    between them runs a curve that overshoots none (Fritsch & Carlson 1980)."""
    values = _known(losses)
    if len(t) > FEW or None in losses:
        axes.plot(t, values, **style)
        return
    import numpy as np
    from scipy.interpolate import PchipInterpolator

    between = np.linspace(t[0], t[-1], SMOOTH)
    axes.plot(between, PchipInterpolator(t, values)(between), **style)
    axes.plot(t, values, ".", color=style["color"], markersize=3)


def _path_alone(axes: "Axes", edge: Row) -> None:
    """Training and test loss of the path, on the scale of the path; other ways as far as they are
    as low."""
    curve = edge["curves"]["path"]
    _draw_way(axes, curve["t"], curve["train_loss"], STYLES["path"])
    drawn = list(curve["train_loss"])
    if curve.get("test_loss"):
        _draw_way(axes, curve["t"], curve["test_loss"], {"color": TEST, "linewidth": 1.2})
        drawn += curve["test_loss"]
    _top(axes, edge)
    if wants_log([x for x in drawn if x is not None]):
        log_axis(axes.yaxis)
    else:
        plain(axes.yaxis)
        if min(x for x in drawn if x is not None) >= 0:
            axes.set_ylim(0, None)
    axes.autoscale(False)
    for name in ("aligned", "bezier"):
        other = edge["curves"].get(name)
        if other is not None:
            _draw_way(axes, other["t"], other["train_loss"], STYLES[name])


def _top(axes: "Axes", edge: Row) -> None:
    """The highest point with its standard error."""
    path = edge["path"]
    bar = path.get("train_loss_stderr") or None
    axes.errorbar(
        path["saddle_at"],
        path["train_loss"],
        yerr=bar,
        fmt="o",
        color=TRAIN,
        markersize=3.5,
        elinewidth=1.2,
        capsize=2.5,
        zorder=5,
    )


def _legend(canvas: "Canvas", edges: Rows, close: bool) -> None:
    from matplotlib.lines import Line2D

    drawn = set().union(*(edge["curves"] for edge in edges))
    order = [name for name in ("path", "linear", "aligned", "bezier") if name in drawn]
    handles = [Line2D([], [], **STYLES[name]) for name in order]
    names = WAYS | {"path": path_name(edges)}
    labels = [names[name] for name in order]
    if close and edges[0]["curves"]["path"].get("test_loss"):
        handles.insert(1, Line2D([], [], color=TEST, linewidth=1.2))
        labels.insert(1, f"{names['path']}, test")
    canvas.legend(
        handles, labels, loc="outside upper right", ncols=len(order) + 1, columnspacing=1.2
    )


def _known(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _range(edge: Row, names: list[str]) -> float:
    known = [edge["curves"][name]["train_loss"] for name in names if edge["curves"].get(name)]
    found: list[float] = []
    for losses in known:
        found += [loss for loss in losses if loss is not None]
    return max(found) - min(found)


def _caption(run: RunData, edges: Rows, close: bool) -> str:
    what = quantity(run).partition(" /")[0]
    left = len(tree_edges(run)) - len(edges)
    highest = edges[0]
    found = {"string": "string sampling"}.get(path_name(edges), path_name(edges))
    shown = (
        f"{what.capitalize()} along the ways between two minima, for each edge of the "
        f"spanning tree, the highest barrier "
        f"first{f' ({left} lower ones are not shown)' if left else ''}; 0 and 1 are the "
        f"minima, positions are fractions of "
        f"each way's own length; small dots are where a way was evaluated. The large dot is the "
        f"highest point of the path that {found} found"
    )
    shown += ", with one standard error over examples." if not run.is_formula else "."
    below = (
        " Below, the path on a scale of its own, to be read for how flat it is (other ways "
        "leave that scale); the panel "
        "above says how high the straight line goes."
        if close
        else ""
    )
    if not run.is_formula:
        below += (
            " Two minima count as connected where the lowest of all ways rises above the "
            "higher of them by no more than two "
            "standard errors, or 0.5 % of the straight line's barrier. Test loss on the same "
            "points (not used to find them) "
            "should not rise either."
        )
    high = straight(highest)
    line = "" if high is None else f", the straight line has {in_short(high)}"
    pair = named(highest["pair"])
    worst = f"{barrier(highest)}{unit(run)} ({pair}{by(highest)})"
    return f"{shown}{below} Highest barrier of a lowest way: {worst}{line}."


def _numbers(edges: Rows) -> Iterator[Row]:
    columns = ("t", "train_loss", "test_loss", "test_error")
    names = WAYS | {"path": path_name(edges)}
    for edge in edges:
        for name, curve in edge["curves"].items():
            for k in range(len(curve["t"])):
                found = {
                    column: None if curve.get(column) is None else curve[column][k]
                    for column in columns
                }
                yield {"pair": named(edge["pair"]), "way": names.get(name, name), **found}
