"""Where the paths run: each in the plane through its two ends and its top."""

from typing import TYPE_CHECKING

from sgdtheory.report.figures.edges import MOST_PANELS, grid_of, named, quantity, tree_edges
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import INK, log_axis, svg_of, wants_log
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure as Canvas

MOST_PIECES = 100  # of a line, each of one colour
SEEN = 0.995  # of a path's squared distance from the straight line: nothing is hidden


def band_plane(run: RunData) -> Figure | None:
    """The band and the straight line, coloured by loss on one scale."""
    bands = [
        band for edge in tree_edges(run)[:MOST_PANELS] if (band := _band(run, edge)) is not None
    ]
    if not bands:
        return None
    losses = [loss for band in bands for way in ("path", "linear") for *_, loss in band[way]]
    rows, columns = grid_of(len(bands))
    low, high = (
        min(y for band in bands for _, y, _ in band["path"]),
        max(y for band in bands for _, y, _ in band["path"]),
    )
    room = 0.08 * max(high - low, 1)

    def paint(canvas: "Canvas") -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm, Normalize

        log = wants_log(losses)
        norm = (LogNorm if log else Normalize)(
            min(losses), max(losses) + (min(losses) == max(losses))
        )
        panels = canvas.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for k, axes in enumerate(panels.flat):
            if k >= len(bands):
                axes.set_visible(False)
                continue
            _draw(axes, bands[k], norm)
            axes.set(aspect="equal", ylim=(low - room, high + room))
            if k // columns == rows - 1 or k + columns >= len(bands):
                axes.set_xlabel("along the straight line / |θⱼ − θᵢ|")
                axes.tick_params(labelbottom=True)
            if k % columns == 0:
                axes.set_ylabel("across")
        bar = canvas.colorbar(
            ScalarMappable(norm, "viridis"), ax=panels, label=quantity(run), aspect=18, shrink=0.9
        )
        bar.outline.set_visible(False)
        if log:
            log_axis(bar.ax.yaxis)

    wide = 6.2 / columns
    height = min(8.5, rows * (wide * min(1.3, (high - low + 2 * room) / 1.2) + 0.55) + 0.25)
    svg = svg_of("band_plane", max(2.2, height), paint)
    return Figure("band_plane", "Where the paths run", _caption(run, bands), svg, _numbers(bands))


def _draw(axes: "Axes", band: Row, norm: "Normalize") -> None:
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    for way, width in (("linear", 2.0), ("path", 4.0)):
        rows = np.array(band[way], dtype=np.float64)  # [T, 3]
        begins = np.arange(0, len(rows) - 1, -(-len(rows) // MOST_PIECES))
        points = rows[[*begins, len(rows) - 1], :2]
        pieces = np.stack([points[:-1], points[1:]], axis=1)
        losses = [
            rows[k : end + 1, 2].max()
            for k, end in zip(begins, [*begins[1:], len(rows)], strict=True)
        ]
        colours = colormaps["viridis"](norm(np.array(losses)))
        axes.add_collection(
            LineCollection(list(pieces), colors=colours, linewidths=width, capstyle="round")
        )
    pivots = np.array(band["pivots"])
    axes.plot(pivots[1:-1, 0], pivots[1:-1, 1], "o", color="#ffffff", markersize=1.5, zorder=4)
    for at, name, (dx, dy), side in zip(
        pivots[[0, -1]], band["pair"], ((-6, -2), (6, -2)), ("right", "left"), strict=True
    ):
        axes.plot(*at, "o", color=INK, markersize=5, zorder=4)
        axes.annotate(str(name), at, (dx, dy), textcoords="offset points", ha=side)
    axes.plot(*band["top"], "x", color=INK, markersize=6, markeredgewidth=1.3, zorder=5)
    hidden = "" if band["inside"] >= SEEN else f": {band['inside']:.0%} in the plane"
    axes.set_title(f"{named(band['pair'])}{hidden}")
    axes.margins(0.14)
    axes.grid()


def _band(run: RunData, edge: Row) -> Row | None:
    """The path of an edge in its plane, in units of the distance of its ends; None without its
    file, or if it is straight."""
    import numpy as np

    tensors = run.tensors(f"paths/{edge['pair'][0]}-{edge['pair'][1]}.safetensors")
    if "path" not in tensors or not edge["curves"].get("linear"):
        return None
    path, at = tensors["path"].astype(np.float64), tensors["t"].astype(np.float64)  # [P, n], [P]
    path = path - path[0]
    scale = float(np.linalg.norm(path[-1]))
    path /= scale
    first = path[-1]
    off = path - np.outer(path @ first, first)  # [P, n], what the straight line leaves
    top = _at(path, at, edge["path"]["saddle_at"])
    second = top - (top @ first) * first
    if (
        np.linalg.norm(second) < 0.1 * np.linalg.norm(off, axis=1).max()
    ):  # the top is an end, or on the line
        second = off[np.linalg.norm(off, axis=1).argmax()]
    second = second / (np.linalg.norm(second) or 1)
    flat = np.stack([path @ first, path @ second], axis=1)  # [P, 2]
    whole = float(np.square(off).sum())
    curve, line = edge["curves"]["path"], edge["curves"]["linear"]
    seen = [
        (*_at(flat, at, t).tolist(), loss)
        for t, loss in zip(curve["t"], curve["train_loss"], strict=True)
    ]
    return {
        "pair": edge["pair"],
        "pivots": flat.tolist(),
        "top": _at(flat, at, edge["path"]["saddle_at"]).tolist(),
        "path": seen,
        "linear": [(t, 0.0, loss) for t, loss in zip(line["t"], line["train_loss"], strict=True)],
        "inside": float(np.square(flat[:, 1]).sum() / whole) if whole else 1.0,
    }


def _at(points: "np.ndarray", arcs: "np.ndarray", t: float) -> "np.ndarray":
    """The point at arc position t of rows of points."""
    import numpy as np

    return np.array([np.interp(t, arcs, column) for column in points.T])


def _caption(run: RunData, bands: Rows) -> str:
    what = quantity(run).partition(" /")[0]
    hidden = min(band["inside"] for band in bands) < SEEN
    seen = (
        "A plane shows little of a path in many dimensions: above each panel stands the "
        "share of the pivots' squared "
        "distances from the straight line that lies in it; the rest is hidden, and the path "
        "is longer than it looks."
        if hidden
        else "The paths lie in these planes, nothing is hidden."
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
    return [
        {"pair": named(band["pair"]), "way": way, "along": x, "across": y, "train_loss": loss}
        for band in bands
        for way in ("path", "linear")
        for x, y, loss in band[way]
    ]
