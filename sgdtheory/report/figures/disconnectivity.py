"""The disconnectivity tree: below which loss the minima fall apart into separate valleys."""

from collections.abc import Iterator
from typing import Any

from sgdtheory.report.figures.edges import named, plain, quantity, tree_first
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, INK, PALE, TRAIN, svg_of

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
    bottom, top = min(leaves.values()), max(joint["height"] for joint in joints)
    lines = [joint["straight"] for joint in joints if joint["straight"] is not None]
    close = bool(lines) and top - bottom < FLAT * (max(lines) - bottom)

    def paint(canvas: Any) -> None:
        panels = canvas.subplots(
            1, 2 if close else 1, squeeze=False, width_ratios=[2, 3] if close else [1]
        )[0]
        for axes in panels:
            _draw(axes, leaves, joints)
            at = range(len(leaves)) if len(leaves) <= MOST_NAMED else []
            axes.set_xticks(list(at), [names[node] for node in leaves][: len(at)])
            axes.tick_params(axis="x", length=0)
            axes.set(xlabel="minimum", xlim=(-0.6, len(leaves) - 0.4))
            axes.spines["bottom"].set_visible(False)
            axes.grid(axis="y")
        panels[0].set_ylabel(quantity(run))
        if close:
            heights = [joint["height"] + (joint["stderr"] or 0) for joint in joints]
            room = 0.08 * (max(heights) - bottom)
            panels[1].set_ylim(bottom - room, max(heights) + room)
            panels[0].set_ylim(min(0.0, bottom), None)
            panels[0].set_title("beside the straight lines")
            plain(panels[1].yaxis)
            panels[1].set_title("the tree on a scale of its own")
        _legend(canvas, bool(lines), any(joint["stderr"] for joint in joints))

    width = min(7.2, 4.9 + 0.25 * len(leaves)) if not close else 7.2
    svg = svg_of("disconnectivity", 3.4, paint, width=width)
    numbers = [{"minimum": names[node], "train_loss": loss} for node, loss in leaves.items()]
    numbers += [
        {
            "joined_by": named(joint["pair"]),
            **{k: joint[k] for k in ("height", "stderr", "straight")},
        }
        for joint in joints
    ]
    return Figure("disconnectivity", "The disconnectivity tree", _caption(run, close), svg, numbers)


def _joints(
    leaves: dict[int, float],
    merges: list[dict[str, Any]],
    edges: dict[tuple[int, ...], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Merges with where they stand: the middle of what they join, and where each side comes
    from."""
    # group → (x, height)
    stand = {frozenset([node]): (float(x), loss) for x, (node, loss) in enumerate(leaves.items())}
    for merge in merges:
        left, right = (frozenset(merge[side]) for side in ("left", "right"))
        x = (stand[left][0] + stand[right][0]) / 2
        line = edges.get(tuple(merge["pair"]), {}).get("linear") or {}
        yield {
            **merge,
            "x": x,
            "from": [stand[left], stand[right]],
            "straight": line.get("train_loss"),
        }
        stand[left | right] = (x, merge["height"])


def _draw(axes: Any, leaves: dict[int, float], joints: list[dict[str, Any]]) -> None:
    thin = {"color": INK, "linewidth": 1.3, "solid_capstyle": "projecting"}
    for joint in joints:
        (left, low), (right, other) = joint["from"]
        axes.plot(
            [left, left, right, right], [low, joint["height"], joint["height"], other], **thin
        )
        if joint["stderr"]:
            axes.errorbar(
                joint["x"],
                joint["height"],
                yerr=joint["stderr"],
                color=INK,
                elinewidth=1.1,
                capsize=3,
                fmt="none",
            )
        if joint["straight"] is not None:
            axes.plot([left, right], [joint["straight"]] * 2, color=LINE, linewidth=1.6, alpha=0.75)
            axes.plot(
                [joint["x"]] * 2,
                [joint["height"], joint["straight"]],
                color=PALE,
                linewidth=0.6,
                linestyle=":",
            )
    axes.plot(range(len(leaves)), list(leaves.values()), "o", color=TRAIN, zorder=3)


def _legend(canvas: Any, lines: bool, bars: bool) -> None:
    from matplotlib.lines import Line2D

    handles = {"minimum": Line2D([], [], color=TRAIN, marker="o", linestyle="none")}
    handles["joined by the lowest way" + (" ± 1 σ" if bars else "")] = Line2D(
        [], [], color=INK, linewidth=1.3
    )
    if lines:
        handles["top of the straight line"] = Line2D([], [], color=LINE, linewidth=1.6, alpha=0.75)
    canvas.legend(
        list(handles.values()), list(handles), loc="outside upper right", ncols=3, columnspacing=1.2
    )


def _caption(run: RunData, close: bool) -> str:
    what = quantity(run).partition(" /")[0]
    bars = (
        ""
        if run.is_formula
        else " Bars are one standard error of the height of the top over the higher end, "
        "over examples drawn anew; "
        "branches that part by less than these cannot be told apart from one valley."
    )
    scales = (
        " Left with the tops of the straight lines between the same pairs, where the whole "
        "tree lies at the bottom: the "
        "valleys are one on that scale. Right the same tree alone, enlarged."
        if close
        else ""
    )
    return (
        f"Read from below: every minimum is a dot at its {what}. Two branches join at the "
        f"highest point of the lowest way "
        "found between them: below that height they are separate valleys, above it one. "
        "Horizontal positions mean "
        f"nothing.{bars}{scales} The heights are upper bounds, since a lower path may exist."
    )
