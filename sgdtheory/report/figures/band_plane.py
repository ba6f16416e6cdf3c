"""Where the paths run: each in the plane through its two ends and its top."""

from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Literal, TypeAlias

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.edges import (
    MOST_PANELS,
    grid_of,
    named,
    path_file,
    quantity,
    tree_edges,
)
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import INK, log_axis, wants_log
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure as Canvas

Point: TypeAlias = tuple[float, float, float]  # along, across, the loss there
MOST_PIECES = 100  # of a line, each of one colour
SHALLOW = 0.5  # of what a path goes across: panels of it are drawn wide
SEEN = 0.995  # of a path's squared distance from the straight line: nothing is hidden


def band_plane(run: RunData) -> Figure | None:
    """The band and the straight line, coloured by loss on one scale."""
    bands = []
    for edge in tree_edges(run)[:MOST_PANELS]:
        band = _band(run, edge)
        if band is not None:
            bands.append(band)
    if not bands:
        return None
    losses = []
    heights = []
    for band in bands:
        heights += [y for _, y, _ in band["path"]]
        losses += [loss for _, _, loss in band["path"] + band["linear"]]
    low = min(heights)
    high = max(heights)
    room = 0.08 * max(high - low, 1)
    rows, columns = grid_of(len(bands), side_by_side=2 if high - low < SHALLOW else 3)

    def paint(canvas: "Canvas") -> None:
        norm = _norm_of(losses)
        panels = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for k, axes in enumerate(panels.flat):
            if k >= len(bands):
                axes.set_visible(False)
                continue
            _draw(axes, bands[k], norm)
            axes.set(aspect="equal", ylim=(low - room, high + room))
            is_lowest = k + columns >= len(bands)
            if is_lowest:
                axes.set_xlabel("along the straight line / |θⱼ − θᵢ|")
                axes.tick_params(labelbottom=True)
            if k % columns == 0:
                axes.set_ylabel("across")
        _colour_bar(canvas, panels, norm, quantity(run))

    width = 6.6 / columns
    ratio = min(1.3, (high - low + 2 * room) / 1.2)
    height = min(8.5, rows * (width * ratio + 0.6) + 0.75)
    drawing = drawing_of("band_plane", max(2.2, height), paint)
    caption = _caption(run, bands)
    numbers = _numbers(bands)
    return Figure("band_plane", "Where the paths run", caption, drawing, numbers)


def _norm_of(losses: list[float]) -> "Normalize":
    """The scale of colours from the least loss to the most."""
    from matplotlib.colors import LogNorm, Normalize

    least = min(losses)
    most = max(losses)
    if most <= least:
        most = most + 1
    return LogNorm(least, most) if wants_log(losses) else Normalize(least, most)


def _colour_bar(canvas: "Canvas", panels: "Iterable[Axes]", norm: "Normalize", label: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    bar = canvas.colorbar(
        ScalarMappable(norm, "viridis"),
        ax=panels,
        location="bottom",
        label=label,
        aspect=40,
        shrink=0.6,
    )
    bar.outline.set_visible(False)
    if isinstance(norm, LogNorm):
        log_axis(bar.ax.xaxis)


def _draw(axes: "Axes", band: Row, norm: "Normalize") -> None:
    import numpy as np

    _draw_way(axes, band["linear"], norm, 2.0)
    _draw_way(axes, band["path"], norm, 4.0)
    pivots = np.array(band["pivots"])
    inner = pivots[1:-1]
    axes.plot(inner[:, 0], inner[:, 1], "o", color="#ffffff", markersize=1.5, zorder=4)
    first, last = band["pair"]
    _draw_end(axes, pivots[0], str(first), -6, "right")
    _draw_end(axes, pivots[-1], str(last), 6, "left")
    axes.plot(*band["top"], "x", color=INK, markersize=6, markeredgewidth=1.3, zorder=5)
    hidden = "" if band["inside"] >= SEEN else f": {band['inside']:.0%} in the plane"
    axes.set_title(f"{named(band['pair'])}{hidden}")
    axes.margins(0.14)
    axes.grid()


def _draw_way(axes: "Axes", way: list[Point], norm: "Normalize", width: float) -> None:
    """A line in pieces, each coloured by the highest loss on it, with an edge that sets it apart
    from light and dark pages."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    rows = np.array(way, dtype=np.float64)  # [T, 3]
    step = ceil(len(rows) / MOST_PIECES)
    last = len(rows) - 1
    begins = [*range(0, last, step), last]
    points = rows[begins, :2]
    pieces = np.stack([points[:-1], points[1:]], axis=1)
    losses = []
    for begin, end in pairwise(begins):
        losses.append(rows[begin : end + 1, 2].max())
    colours = colormaps["viridis"](norm(np.array(losses)))
    axes.plot(*points.T, color=INK, linewidth=width + 1.4, solid_capstyle="round")
    lines = LineCollection(list(pieces), colors=colours, linewidths=width, capstyle="round")
    lines.set_zorder(2.5)
    axes.add_collection(lines)


def _draw_end(
    axes: "Axes", place: "np.ndarray", name: str, shift: float, side: Literal["left", "right"]
) -> None:
    x, y = place
    axes.plot(x, y, "o", color=INK, markersize=5, zorder=4)
    axes.annotate(name, (x, y), (shift, -2), textcoords="offset points", ha=side)


def _band(run: RunData, edge: Row) -> Row | None:
    """The path of an edge in its plane, in units of the distance of its ends; None without its
    file, or if it is straight."""
    import numpy as np

    tensors = run.tensors(path_file(edge))
    if "path" not in tensors or not edge["curves"].get("linear"):
        return None
    path = tensors["path"].astype(np.float64)  # [P, n]
    arcs = tensors["t"].astype(np.float64)  # [P]
    path = path - path[0]
    path /= float(np.linalg.norm(path[-1]))
    first = path[-1]
    along = path @ first
    off = path - np.outer(along, first)  # [P, n], what the straight line leaves
    distances = np.linalg.norm(off, axis=1)
    saddle_at = edge["path"]["saddle_at"]
    top = _at(path, arcs, saddle_at)
    second = top - (top @ first) * first
    if np.linalg.norm(second) < 0.1 * distances.max():  # the top is an end, or on the line
        second = off[distances.argmax()]
    second = second / (np.linalg.norm(second) or 1)
    across = path @ second
    flat = np.stack([along, across], axis=1)  # [P, 2]
    total = float(np.square(off).sum())
    share = 1.0
    if total:
        share = float(np.square(flat[:, 1]).sum()) / total
    return {
        "pair": edge["pair"],
        "pivots": flat.tolist(),
        "top": _at(flat, arcs, saddle_at).tolist(),
        "path": _seen_path(edge["curves"]["path"], flat, arcs),
        "linear": _seen_line(edge["curves"]["linear"]),
        "inside": share,
    }


def _seen_path(curve: Row, flat: "np.ndarray", arcs: "np.ndarray") -> list[Point]:
    """The losses along a path whose pivots [P, 2] stand at these arc positions [P]."""
    points = []
    for t, loss in zip(curve["t"], curve["train_loss"], strict=True):
        x, y = _at(flat, arcs, t).tolist()
        points.append((x, y, loss))
    return points


def _seen_line(curve: Row) -> list[Point]:
    points = []
    for t, loss in zip(curve["t"], curve["train_loss"], strict=True):
        points.append((t, 0.0, loss))
    return points


def _at(points: "np.ndarray", arcs: "np.ndarray", t: float) -> "np.ndarray":
    """The point at arc position t of rows of points [P, k]; [k]."""
    import numpy as np

    coordinates = [np.interp(t, arcs, column) for column in points.T]
    return np.array(coordinates)


def _caption(run: RunData, bands: Rows) -> str:
    what = quantity(run).partition(" /")[0]
    shares = [band["inside"] for band in bands]
    seen = "The paths lie in these planes, nothing is hidden."
    if min(shares) < SEEN:
        seen = (
            "A plane shows little of a path in many dimensions: above each panel stands the "
            "share of the pivots' squared "
            "distances from the straight line that lies in it; the rest is hidden, and the path "
            "is longer than it looks."
        )
    return (
        "Each path in the plane through its two ends (numbered) and its highest point (×), "
        "in units of the distance of "
        "the ends; small dots are the pivots. (Where the top is an end, or on the straight "
        "line, the farthest point takes "
        f"its place.) Colour is the {what}, on one scale for the path and for the straight "
        f"line between the ends: a path "
        f"keeps the colour of its ends where it goes round what the straight line has to "
        f"climb over. {seen}"
    )


def _numbers(bands: Rows) -> Rows:
    numbers = []
    for band in bands:
        pair = named(band["pair"])
        for way in ("path", "linear"):
            for x, y, loss in band[way]:
                row = {"pair": pair, "way": way, "along": x, "across": y, "train_loss": loss}
                numbers.append(row)
    return numbers
