"""What pictures of paths share: the edges in their order, their names, the words for what is drawn,
the panels."""

from math import ceil
from typing import TYPE_CHECKING

from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.table import Table, pair_name, table
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import on_axis, rounded
from sgdtheory.statistics.rows import Row, Rows, error_of

if TYPE_CHECKING:
    from matplotlib.axis import XAxis, YAxis

MOST_PANELS = 6
WAYS = {
    "path": "AutoNEB",
    "linear": "straight line",
    "aligned": "straight, aligned",
    "bezier": "Bézier",
    "chain": "chain",
}

# columns of an edge on the page, with their headings; {}: what found the paths, then the unit
NETWORK = {
    "pair": "",
    "barrier": "barrier{1}:\n{0}",
    "straight": "barrier{1}:\nstraight line",
    "aligned": "barrier{1}:\naligned line",
    "bezier": "barrier{1}:\nBézier",
    "chain": "barrier{1}:\nchain",
    "lowest.way": "lowest\nway",
    "lowest.barrier": "barrier{1}:\nlowest way",
    "path.train_loss": "highest loss{1}:\n{0}",
    "statistics": "highest loss{1}:\nstatistics interpol.",
    "ends.test_error": "test error / %:\nworse end",
    "path.test_error": "test error / %:\ntop of {0}",
    "path.length_ratio": "length over\nstraight line's",
    "path.gradients": "gradients\nspent",
    "path.learning_rate": "learning\nrate",
}
FORMULA = {
    "pair": "",
    "barrier": "barrier:\n{0}",
    "straight": "barrier:\nstraight line",
    "bezier": "barrier:\nBézier",
    "lowest.way": "lowest\nway",
    "lowest.barrier": "barrier:\nlowest way",
    "path.train_loss": "highest energy:\n{0}",
    "path.index": "index of\nthe top",
    "path.length_ratio": "length over\nstraight line's",
    "path.pivots": "pivots",
    "path.gradients": "gradients\nspent",
}


def tree_first(results: Row) -> Rows:
    """The edges, those of the spanning tree first, each group from the highest barrier on;
    `in_tree` says which are."""
    tree = [tuple(pair) for pair in results.get("spanning_tree", [])]
    rows = [{**row, "in_tree": tuple(row["pair"]) in tree} for row in results.get("edges", [])]
    return sorted(
        rows, key=lambda row: (not row["in_tree"], -lowest(row)["barrier"]["value"], row["pair"])
    )


def lowest(edge: Row) -> Row:
    """{name, barrier} of the lowest way between the two minima."""
    found: Row = edge.get("lowest_way") or {"name": "path", "barrier": edge["barrier"]}
    return found


def top(edge: Row) -> float:
    """The loss at the highest point of the lowest way."""
    over: float = lowest(edge)["barrier"]["value"] - edge["barrier"]["value"]
    return float(edge["path"]["train_loss"] + over)


def straight(edge: Row) -> float | None:
    """The barrier of the straight line, where its loss is finite."""
    found = edge.get("straight_barrier")
    if found is None:
        return None
    return float(found["value"])


def by(edge: Row) -> str:
    """What the lowest way is, where it is not the path that was searched for."""
    name = lowest(edge)["name"]
    if name == "path":
        return ""
    return f", {WAYS[name]}"


def tree_edges(run: RunData) -> Rows:
    """The edges of the spanning tree, the highest barrier first."""
    return [row for row in tree_first(run.results) if row["in_tree"]]


def edges_table(results: Row) -> Table:
    """What is read of the edges, those of the tree first; table.csv has every column."""
    edges = tree_first(results)
    starred = not all(edge["in_tree"] for edge in edges)
    scored = any(edge["path"].get("test_error") is not None for edge in edges)
    unit = results.get("scores", {}).get("unit", "")
    in_unit = f" / {unit}" if unit else ""
    columns = {}
    for name, label in (NETWORK if scored else FORMULA).items():
        columns[name] = label.format(path_name(edges), in_unit)
    found = table([_read(edge, starred) for edge in edges], columns)
    error = error_of(results) if scored else None
    return found._replace(notes=[*_notes(edges, error, starred), *found.notes])


def _notes(edges: Rows, error: str | None, starred: bool) -> list[str]:
    """What the short headings mean, and which edges are not connected."""
    notes = ["* in the minimum spanning tree"] if starred else []
    if error is not None:
        notes.append(
            "Barriers are over the higher end, in training loss; the highest loss is that on "
            f"the way; test {error}: of the "
            "worse end, and where the path is highest"
            + (
                "; statistics interpol.: that of the path with batch-norm statistics "
                "interpolated between the ends."
                if _has_statistics(edges)
                else "."
            )
        )
        if not edges[0].get("all_examples", True):
            notes.append(
                f"Judged by {edges[0]['examples']:,} training images, the same ones "
                f"everywhere; examples=all takes all."
            )
        apart = [
            named(edge["pair"]) for edge in edges if edge["verdict"].startswith("not connected")
        ]
        notes += [f"Not connected at this budget: {', '.join(apart)}."] if apart else []
        open_ = [
            f"{named(edge['pair'])} {edge['verdict']}"
            for edge in edges
            if edge["verdict"].startswith("cannot")
        ]
        notes += (
            [f"{open_[0]}{f', and {len(open_) - 1} more' if len(open_) > 1 else ''}."]
            if open_
            else []
        )
    return notes


def _has_statistics(edges: Rows) -> bool:
    return any(edge.get("interpolated_statistics") for edge in edges)


def _read(edge: Row, starred: bool) -> Row:
    """An edge with what the table shows: errors where something is judged by them, three digits
    beside it."""
    along = edge["curves"]["path"].get("test_error") or [None]
    aligned = edge.get("aligned_barrier") or {"value": None}
    return {
        "pair": f"{named(edge['pair'])}{' *' if starred and edge['in_tree'] else ''}",
        "barrier": edge["barrier"],
        "straight": _three(straight(edge)),
        "aligned": _three(aligned["value"]),
        "bezier": _three(_barrier_of(edge, "bezier")),
        "chain": _three(_barrier_of(edge, "chain")),
        "path": {
            **edge["path"],
            "train_loss": _three(edge["path"]["train_loss"]),
            "train_loss_stderr": None,
        },
        "ends": {"test_error": None if along[0] is None else rounded(max(along[0], along[-1]))},
        "lowest": {
            "way": (WAYS | {"path": path_name([edge])})[lowest(edge)["name"]],
            "barrier": lowest(edge)["barrier"],
        },
        "statistics": _three((edge.get("interpolated_statistics") or {}).get("train_loss")),
    }


def _barrier_of(edge: Row, way: str) -> float | None:
    found = (edge.get(way) or {}).get("barrier") or {}
    value: float | None = found.get("value")
    return value


def _three(value: float | None) -> float | None:
    return None if value is None else rounded(value)


def path_name(edges: Rows) -> str:
    """What found the paths of a run, for legends and headings."""
    if edges and edges[0]["path"].get("method") == "string_sampling":
        return "string"
    return WAYS["path"]


def named(pair: list[int]) -> str:
    """0-1"""
    return pair_name(pair)


def path_file(edge: Row) -> str:
    """Where a run keeps the path of an edge."""
    return f"paths/{pair_name(edge['pair'])}.safetensors"


def barrier(edge: Row) -> str:
    """0.0003 ± 0.0004, of the lowest way, as the verdict has it."""
    found = lowest(edge)["barrier"]
    return str(Measured(found["value"], found["stderr"]))


def quantity(run: RunData) -> str:
    """What is drawn along a path, for an axis."""
    if run.is_formula:
        return "energy"
    return f"training loss / {run.loss_unit}" if run.loss_unit else "training loss"


def unit(run: RunData) -> str:
    """nats, with the space before it; nothing where there is none."""
    return f" {run.loss_unit}" if run.loss_unit else ""


def plain(axis: "XAxis | YAxis") -> None:
    """Ticks of a linear axis that read 2e-5, with no power of ten set apart from them."""
    axis.set_major_formatter(lambda value, _: on_axis(float(value)))


def grid_of(count: int, side_by_side: int = 3) -> tuple[int, int]:
    """(rows, columns) of panels for so many edges: at most so many side by side."""
    most = 2 if count == 4 else side_by_side
    columns = min(count, most)
    return ceil(count / columns), columns
