"""The graph of minima: which paths were found, how high they are, and the spanning tree of the
lowest."""

from math import atan2, cos, degrees, sin
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.edges import barrier, lowest, named, quantity, top, tree_first, unit
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import INK, PALE
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure as Canvas

MOST_LABELLED = 12  # edges with their barriers beside them
MOST_NAMED = 40  # minima with their names in them
Place: TypeAlias = tuple[float, float]
Places: TypeAlias = dict[int, Place]  # of the nodes


class _Scale(NamedTuple):
    """What colour a training loss has."""

    norm: "Normalize"
    colours: "Colormap"

    @classmethod
    def of(cls, heights: list[float]) -> "_Scale":
        from matplotlib import colormaps
        from matplotlib.colors import Normalize

        low = min(heights)
        high = max(heights)
        return cls(Normalize(low, high if high > low else low + 1), colormaps["viridis"])

    def colour(self, loss: float | None) -> "str | tuple[float, float, float, float]":
        if loss is None:
            return PALE
        return self.colours(float(self.norm(loss)))

    def is_light(self, loss: float | None) -> bool:
        return loss is None or self.norm(loss) > 0.6


def graph(run: RunData) -> Figure | None:
    """Minima as nodes, paths as edges, both coloured by training loss on one scale; of two minima
    there is no picture."""
    minima = run.results.get("minima", [])
    edges = tree_first(run.results)
    if len(minima) < 3 or not edges:
        return None
    heights = [row["train_loss"] for row in minima if row["train_loss"] is not None]
    heights += [top(edge) for edge in edges]
    places = _places(len(minima), edges)

    def paint(canvas: "Canvas") -> None:
        from matplotlib.cm import ScalarMappable

        axes = canvas.subplots()
        scale = _Scale.of(heights)
        _draw_edges(axes, edges, places, scale)
        _draw_minima(axes, minima, places, scale)
        axes.margins(0.12)
        axes.set(aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        mappable = ScalarMappable(scale.norm, scale.colours)
        bar = canvas.colorbar(mappable, ax=axes, label=quantity(run), shrink=0.8, aspect=16)
        bar.outline.set_visible(False)

    size = min(6.0, 3.0 + 0.12 * len(minima))
    drawing = drawing_of("graph", size, paint, width=min(7.2, 1.45 * size))
    caption = _caption(run, edges)
    numbers = _numbers(minima, edges)
    return Figure("graph", "The graph of the minima", caption, drawing, numbers)


def _draw_edges(axes: "Axes", edges: Rows, places: Places, scale: _Scale) -> None:
    """Those of the spanning tree thick and on top, the others broken."""
    for edge in reversed(edges):
        (x, y), (u, v) = (places[end] for end in edge["pair"])
        line: Row = {"color": scale.colour(top(edge)), "linewidth": 1.2, "zorder": 1}
        if edge["in_tree"]:
            line |= {"linewidth": 3.4, "zorder": 2}
            # set apart from light and dark pages
            axes.plot([x, u], [y, v], color=INK, linewidth=4.8, zorder=2)
        else:
            line["linestyle"] = (0, (4, 2.5))
        axes.plot([x, u], [y, v], **line)
        if len(edges) <= MOST_LABELLED:
            # lines cross in their middles
            fraction = 0.5 if edge["in_tree"] or len(edges) < 4 else 0.3
            _label(axes, edge, (x, y), (u, v), fraction)


def _label(axes: "Axes", edge: Row, start: Place, end: Place, fraction: float) -> None:
    """The barrier, written along the edge and above it."""
    if end < start:  # so that it is read from left to right
        start, end, fraction = end, start, 1 - fraction
    (x, y), (u, v) = start, end
    angle = atan2(v - y, u - x)
    gap = 8.0  # points
    axes.annotate(
        barrier(edge),
        (x + fraction * (u - x), y + fraction * (v - y)),
        (-gap * sin(angle), gap * cos(angle)),
        textcoords="offset points",
        ha="center",
        va="center_baseline",
        rotation=degrees(angle),
        rotation_mode="anchor",
        fontsize=8,
        zorder=3,
        fontweight="bold" if edge["in_tree"] else "normal",
    )


def _draw_minima(axes: "Axes", minima: Rows, places: Places, scale: _Scale) -> None:
    """Dots, with their names in them while these are few."""
    is_named = len(minima) <= MOST_NAMED
    for k, row in enumerate(minima):
        axes.plot(
            *places[k],
            "o",
            markersize=17 if is_named else 6,
            color=scale.colour(row["train_loss"]),
            markeredgecolor=INK,
            markeredgewidth=0.7,
            zorder=4,
        )
        if is_named:
            axes.annotate(
                row["name"],
                places[k],
                ha="center",
                va="center",
                fontsize=8.5,
                zorder=5,
                color="#111111" if scale.is_light(row["train_loss"]) else "#ffffff",
            )


def _places(count: int, edges: Rows) -> Places:
    """Where the nodes stand: a circle while it is small, else what springs along the edges do; the
    same every time."""
    import networkx as nx

    net: nx.Graph[int] = nx.Graph()
    net.add_nodes_from(range(count))
    net.add_edges_from(tuple(edge["pair"]) for edge in edges)
    if count <= 8:
        places = nx.circular_layout(net)
    else:
        places = nx.spring_layout(net, seed=0, iterations=300)
    return {node: (float(x), float(y)) for node, (x, y) in places.items()}


def _caption(run: RunData, edges: Rows) -> str:
    in_tree = [edge for edge in edges if edge["in_tree"]]
    others = len(edges) - len(in_tree)
    what = quantity(run).partition(" /")[0]
    labels, tree, broken = "", "", ""
    if len(edges) <= MOST_LABELLED:
        labels = f" Numbers are barriers{' in' + unit(run) if unit(run) else ''}."
    if in_tree:
        worst = max(in_tree, key=lambda edge: lowest(edge)["barrier"]["value"])
        tree = (
            f" Its highest barrier, {barrier(worst)}{unit(run)} ({named(worst['pair'])}), is over "
            f"the higher of the two minima that the line joins."
        )
    if others == 1:
        broken = (
            " The broken line is a path that was found too; it does not lower the tree by more "
            "than the errors."
        )
    elif others:
        broken = (
            f" The {others} broken lines are paths that were found too; none lowers the tree by "
            f"more than the errors."
        )
    return (
        f"Dots are minima, coloured by their {what}; lines are the lowest ways found, coloured on "
        f"the same scale by their highest point.{labels} Thick lines are the minimum spanning "
        f"tree: the lowest way between any two minima runs along it.{tree}{broken} Where dots "
        f"stand means nothing."
    )


def _numbers(minima: Rows, edges: Rows) -> Rows:
    ends = [
        {"edge": named(edge["pair"]), "in_tree": edge["in_tree"], "train_loss": top(edge)}
        | _barrier(edge)
        for edge in edges
    ]
    return ends + [{"minimum": row["name"], "train_loss": row["train_loss"]} for row in minima]


def _barrier(edge: Row) -> Row:
    found = lowest(edge)
    return {
        "way": found["name"],
        "barrier": found["barrier"]["value"],
        "barrier_stderr": found["barrier"]["stderr"],
    }
