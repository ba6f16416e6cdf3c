"""What pictures of paths share: the edges in their order, their names, the words for what is drawn, the panels."""

from math import ceil
from typing import Any

from sgdtheory.figures.figure import RunData
from sgdtheory.figures.table import number
from sgdtheory.measured import Measured

MOST_PANELS = 6
WAYS = {"path": "AutoNEB", "linear": "straight line", "aligned": "straight, aligned", "bezier": "Bézier", "chain": "chain"}


def tree_first(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The edges, those of the spanning tree first, each group from the highest barrier on; `in_tree` says which are."""
    tree = [tuple(pair) for pair in results.get("spanning_tree", [])]
    rows = [{**row, "in_tree": tuple(row["pair"]) in tree} for row in results.get("edges", [])]
    return sorted(rows, key=lambda row: (not row["in_tree"], -row["barrier"]["value"], row["pair"]))


def tree_edges(run: RunData) -> list[dict[str, Any]]:
    """The edges of the spanning tree, the highest barrier first."""
    return [row for row in tree_first(run.results) if row["in_tree"]]


def path_name(edges: list[dict[str, Any]]) -> str:
    """What found the paths of a run, for legends and headings."""
    return "string" if edges and edges[0]["path"].get("method") == "string_sampling" else WAYS["path"]


def named(pair: list[int]) -> str:
    """0–1"""
    return f"{pair[0]}–{pair[1]}"


def barrier(edge: dict[str, Any]) -> str:
    """0.0003 ± 0.0004, as the verdict has it."""
    return str(Measured(edge["barrier"]["value"], edge["barrier"]["stderr"]))


def quantity(run: RunData) -> str:
    """What is drawn along a path, for an axis."""
    if run.is_formula:
        return "energy"
    return "training loss / nats" if "cross" in run.config else "training loss"


def unit(run: RunData) -> str:
    """nats, with the space before it; nothing where there is none."""
    return " nats" if not run.is_formula and "cross" in run.config else ""


def plain(axis: Any) -> None:
    """Ticks of a linear axis that read 2e-5, with no power of ten set apart from them."""
    axis.set_major_formatter(lambda value, _: number(float(value)).replace("-", "−").replace("e−", "e-"))


def grid_of(count: int) -> tuple[int, int]:
    """(rows, columns) of panels for so many edges: at most three side by side."""
    columns = count if count <= 3 else 2 if count == 4 else 3
    return ceil(count / columns), columns
