"""The graph of minima: which paths were found, how high they are, and the spanning tree of the
lowest."""

from typing import Any

from sgdtheory.report.figures.edges import barrier, lowest, named, quantity, top, tree_first, unit
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import INK, PALE, svg_of

MOST_LABELLED = 12  # edges with their barriers beside them
MOST_NAMED = 40  # minima with their names in them


def graph(run: RunData) -> Figure | None:
    """Minima as nodes, paths as edges, both coloured by training loss on one scale; of two minima
    there is no picture."""
    minima, edges = run.results.get("minima", []), tree_first(run.results)
    if len(minima) < 3 or not edges:
        return None
    heights = [row["train_loss"] for row in minima if row["train_loss"] is not None] + [
        top(row) for row in edges
    ]
    places = _places(len(minima), edges)
    size = min(6.0, 3.0 + 0.12 * len(minima))

    def paint(canvas: Any) -> None:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        axes = canvas.subplots()
        norm = Normalize(min(heights), max(heights) + (min(heights) == max(heights)))
        colours = colormaps["viridis"]

        def colour(loss: float | None) -> Any:
            return PALE if loss is None else colours(norm(loss))

        for edge in reversed(edges):
            (x, y), (u, v) = (places[end] for end in edge["pair"])
            style = (
                {"linewidth": 3.4, "zorder": 2}
                if edge["in_tree"]
                else {"linewidth": 1.2, "linestyle": (0, (4, 2.5)), "zorder": 1}
            )
            axes.plot([x, u], [y, v], color=colour(top(edge)), **style)
            if len(edges) <= MOST_LABELLED:
                # lines cross in their middles
                share = 0.5 if edge["in_tree"] or len(edges) < 4 else 0.3
                text = barrier(edge)
                axes.annotate(
                    text,
                    (x + share * (u - x), y + share * (v - y)),
                    ha="center",
                    va="center",
                    fontsize=8,
                    zorder=3,
                    fontweight="bold" if edge["in_tree"] else "normal",
                    color="#111111",
                    bbox={
                        "boxstyle": "round,pad=0.15",
                        "facecolor": "#ffffff",
                        "edgecolor": "none",
                        "alpha": 0.85,
                    },
                )
        for k, row in enumerate(minima):
            big = len(minima) <= MOST_NAMED
            axes.plot(
                *places[k],
                "o",
                markersize=17 if big else 6,
                color=colour(row["train_loss"]),
                markeredgecolor=INK,
                markeredgewidth=0.7,
                zorder=4,
            )
            if big:
                light = row["train_loss"] is None or norm(row["train_loss"]) > 0.6
                axes.annotate(
                    row["name"],
                    places[k],
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    zorder=5,
                    color="#111111" if light else "#ffffff",
                )
        axes.margins(0.12)
        axes.set(aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        bar = canvas.colorbar(
            ScalarMappable(norm, colours), ax=axes, label=quantity(run), shrink=0.8, aspect=16
        )
        bar.outline.set_visible(False)

    svg = svg_of("graph", size, paint, width=min(7.2, 1.45 * size))
    return Figure(
        "graph", "The graph of the minima", _caption(run, edges), svg, _numbers(minima, edges)
    )


def _places(count: int, edges: list[dict[str, Any]]) -> dict[int, tuple[float, float]]:
    """Where the nodes stand: a circle while it is small, else what springs along the edges do; the
    same every time."""
    import networkx as nx

    net: nx.Graph[int] = nx.Graph()
    net.add_nodes_from(range(count))
    net.add_edges_from(tuple(edge["pair"]) for edge in edges)
    places = (
        nx.circular_layout(net) if count <= 8 else nx.spring_layout(net, seed=0, iterations=300)
    )
    return {node: (float(x), float(y)) for node, (x, y) in places.items()}


def _caption(run: RunData, edges: list[dict[str, Any]]) -> str:
    worst = max(
        (edge for edge in edges if edge["in_tree"]),
        key=lambda edge: lowest(edge)["barrier"]["value"],
        default=None,
    )
    others = sum(not edge["in_tree"] for edge in edges)
    what = quantity(run).partition(" /")[0]
    labels = (
        f" Numbers are barriers{' in' + unit(run) if unit(run) else ''}."
        if len(edges) <= MOST_LABELLED
        else ""
    )
    tree = (
        f" Its highest barrier, {barrier(worst)}{unit(run)} ({named(worst['pair'])}), is the "
        f"most that has to be climbed "
        "on the way from one of its minima to another."
        if worst
        else ""
    )
    thin = (
        f" The {others} broken lines are paths that were found too; none lowers the tree by "
        f"more than the errors."
        if others > 1
        else ""
    )
    thin = (
        " The broken line is a path that was found too; it does not lower the tree by more "
        "than the errors."
        if others == 1
        else thin
    )
    return (
        f"Dots are minima, coloured by their {what}; lines are the lowest ways found, "
        f"coloured on the same scale by their "
        f"highest point.{labels} Thick lines are the minimum spanning tree: the lowest way "
        f"between any two minima runs along "
        f"it.{tree}{thin} Where dots stand means nothing."
    )


def _numbers(minima: list[dict[str, Any]], edges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ends = [
        {
            "edge": named(edge["pair"]),
            "in_tree": edge["in_tree"],
            "train_loss": top(edge),
            **_barrier(edge),
        }
        for edge in edges
    ]
    return ends + [{"minimum": row["name"], "train_loss": row["train_loss"]} for row in minima]


def _barrier(edge: dict[str, Any]) -> dict[str, Any]:
    found = lowest(edge)
    return {
        "way": found["name"],
        "barrier": found["barrier"]["value"],
        "barrier_stderr": found["barrier"]["stderr"],
    }
