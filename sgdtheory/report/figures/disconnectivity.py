"""The disconnectivity tree: below which loss the minima fall apart into separate valleys."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.edges import named, plain, quantity, tree_first
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, INK, PALE, TRAIN
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_NAMED = 30
# of what the straight lines span: a tree lower than that is drawn once more on a scale of its own
FLAT = 0.2
LINE = COLOURS[1]


def disconnectivity(run: RunData) -> Figure | None:
    """Minima as leaves at their losses, joined where the lowest path between them has its top
    (Becker & Karplus 1997)."""
    tree = run.results.get("disconnectivity", {})
    if len(tree.get("leaves", {})) < 2 or not tree.get("merges"):
        return None
    edges = {tuple(edge["pair"]): edge for edge in tree_first(run.results)}
    leaves = {int(node): loss for node, loss in tree["leaves"].items()}
    names = [str(row["name"]) for row in run.results["minima"]]
    joints = list(_joints(leaves, tree["merges"], edges))
    bottom = min(leaves.values())
    top = max(joint["height"] for joint in joints)
    lines = [joint["straight"] for joint in joints if joint["straight"] is not None]
    is_close = False
    if lines:
        span = max(lines) - bottom
        is_close = top - bottom < FLAT * span
    has_bars = any(joint["stderr"] for joint in joints)
    labels = [names[node] for node in leaves]
    if len(labels) > MOST_NAMED:
        labels = []

    def paint(canvas: "Canvas") -> None:
        ratios = [2, 3] if is_close else [1]
        panels = canvas.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0]
        ticks = range(len(labels))
        for axes in panels:
            _draw(axes, leaves, joints)
            axes.set_xticks(ticks, labels)
            axes.tick_params(axis="x", length=0)
            axes.set(xlabel="minimum", xlim=(-0.6, len(leaves) - 0.4))
            axes.spines["bottom"].set_visible(False)
            axes.grid(axis="y")
        panels[0].set_ylabel(quantity(run))
        if is_close:
            _enlarge(panels[0], panels[1], joints, bottom)
        _legend(canvas, bool(lines), has_bars)

    width = 7.2
    if not is_close:
        width = min(7.2, 4.9 + 0.25 * len(leaves))
    drawing = drawing_of("disconnectivity", 3.4, paint, width=width)
    numbers = _numbers(leaves, joints, names)
    caption = _caption(run, is_close)
    return Figure("disconnectivity", "The disconnectivity tree", caption, drawing, numbers)


def _numbers(leaves: dict[int, float], joints: Rows, names: list[str]) -> Rows:
    """A row for each minimum, then for each place where two parts of the tree are joined."""
    numbers: Rows = []
    for node, loss in leaves.items():
        numbers.append({"minimum": names[node], "train_loss": loss})
    for joint in joints:
        row: Row = {"joined_by": named(joint["pair"])}
        for name in ("height", "stderr", "straight"):
            row[name] = joint[name]
        numbers.append(row)
    return numbers


def _enlarge(beside: "Axes", alone: "Axes", joints: Rows, bottom: float) -> None:
    """The scales of two panels: one for the straight lines, one for the tree."""
    highest = max(joint["height"] + (joint["stderr"] or 0) for joint in joints)
    room = 0.08 * (highest - bottom)
    alone.set_ylim(bottom - room, highest + room)
    beside.set_ylim(min(0.0, bottom), None)
    beside.set_title("beside the straight lines")
    plain(alone.yaxis)
    alone.set_title("the tree on a scale of its own")


def _joints(
    leaves: dict[int, float],
    merges: Rows,
    edges: dict[tuple[int, ...], Row],
) -> Iterator[Row]:
    """Merges with where they stand: the middle of what they join, and where each side comes
    from."""
    stand = {}  # group → (x, height)
    for x, (node, loss) in enumerate(leaves.items()):
        stand[frozenset([node])] = (float(x), loss)
    for merge in merges:
        left = frozenset(merge["left"])
        right = frozenset(merge["right"])
        sides = [stand[left], stand[right]]
        middle = (sides[0][0] + sides[1][0]) / 2
        edge = edges.get(tuple(merge["pair"]), {})
        line = edge.get("linear") or {}
        yield {
            **merge,
            "x": middle,
            "from": sides,
            "straight": line.get("train_loss"),
        }
        stand[left | right] = (middle, merge["height"])


def _draw(axes: "Axes", leaves: dict[int, float], joints: Rows) -> None:
    for joint in joints:
        x = joint["x"]
        height = joint["height"]
        straight = joint["straight"]
        (left, low), (right, other) = joint["from"]
        branches = [low, height, height, other]
        axes.plot(
            [left, left, right, right],
            branches,
            color=INK,
            linewidth=1.3,
            solid_capstyle="projecting",
        )
        if joint["stderr"]:
            bar = joint["stderr"]
            axes.errorbar(x, height, yerr=bar, color=INK, elinewidth=1.1, capsize=3, fmt="none")
        if straight is not None:
            axes.plot([left, right], [straight, straight], color=LINE, linewidth=1.6, alpha=0.75)
            axes.plot([x, x], [height, straight], color=PALE, linewidth=0.6, linestyle=":")
    axes.plot(range(len(leaves)), list(leaves.values()), "o", color=TRAIN, zorder=3)


def _legend(canvas: "Canvas", has_lines: bool, has_bars: bool) -> None:
    from matplotlib.lines import Line2D

    joined = "joined by the lowest way"
    if has_bars:
        joined += " ± 1 σ"
    handles = {
        "minimum": Line2D([], [], color=TRAIN, marker="o", linestyle="none"),
        joined: Line2D([], [], color=INK, linewidth=1.3),
    }
    if has_lines:
        handles["top of the straight line"] = Line2D([], [], color=LINE, linewidth=1.6, alpha=0.75)
    lines = list(handles.values())
    labels = list(handles)
    canvas.legend(lines, labels, loc="outside upper right", ncols=3, columnspacing=1.2)


def _caption(run: RunData, is_close: bool) -> str:
    quantity_drawn = quantity(run).partition(" /")[0]
    bars = ""
    scales = ""
    if not run.is_formula:
        bars = (
            " Bars are one standard error of the height of the top over the higher end, over "
            "examples drawn anew; branches that part by less than these cannot be told apart from "
            "one valley."
        )
    if is_close:
        scales = (
            " Left with the tops of the straight lines between the same pairs, where the whole "
            "tree lies at the bottom: the valleys are one on that scale. Right the same tree "
            "alone, enlarged."
        )
    return (
        f"Read from below: every minimum is a dot at its {quantity_drawn}. Two branches join at "
        f"the highest point of the lowest way found between them: below that height they are "
        f"separate valleys, above it one. Horizontal positions mean nothing.{bars}{scales} The "
        f"heights are upper bounds, since a lower path may exist."
    )
