"""What `connect` prints of its edges: the highest point of each way, and the verdicts of the
spanning tree."""

from sgdtheory.report.stdio import tell
from sgdtheory.report.terminal import print_prose, print_table
from sgdtheory.runs.folder import Json
from sgdtheory.statistics.numbers import rounded
from sgdtheory.statistics.rows import Row, Rows, error_of

WAYS = {"linear": "straight", "aligned": "aligned", "bezier": "Bézier", "path": "AutoNEB"}
MOST_TOLD = 6  # edges with their verdicts in words, and with a table of test errors


def edge_rows(results: Json) -> tuple[Rows, dict[str, str]]:
    """(a row for each edge, the spanning tree's first; headings by column): the highest training
    loss on each way between its ends, of formulas the energy."""
    from sgdtheory.report.figures.edges import path_name, tree_first

    edges = tree_first(results)
    is_starred = not all(edge["in_tree"] for edge in edges)
    scored = is_scored(edges)
    rows = [_edge_row(edge, is_starred, scored) for edge in edges]
    columns = {"pair": "", **WAYS, "path": path_name(edges)}
    if scored:
        columns["test_error"] = f"test {error_of(results)} %\nat the top"
    return rows, {**columns, "gradients": "gradients"}


def _edge_row(edge: Row, is_starred: bool, scored: bool) -> Row:
    from sgdtheory.report.figures.edges import named

    path = edge["path"]
    star = " *" if is_starred and edge["in_tree"] else ""
    row: Row = {
        "pair": f"{named(edge['pair'])}{star}",
        "test_error": path["test_error"],
        "gradients": path["gradients"],
        "test_error_stderr": path.get("test_error_stderr"),
    }
    for way in WAYS:
        of_way = edge.get(way) or {}
        highest = of_way.get("train_loss")
        if highest is not None and way != "path" and scored:
            highest = rounded(highest)  # so that the widest numbers fit
        row[way] = highest
        row[f"{way}_why"] = edge.get(f"{way}_why")
    return {**row, "path_stderr": path.get("train_loss_stderr")}


def is_scored(edges: Rows) -> bool:
    """Whether the paths of a run have test errors: those of formulas have none."""
    return any(edge["path"].get("test_error") is not None for edge in edges)


def show_tree(results: Json) -> None:
    """What the marks mean; test errors on the way and verdicts in words, while the edges of the
    tree are few."""
    from sgdtheory.report.figures.edges import named, tree_first

    edges = tree_first(results)
    tree = [edge for edge in edges if edge["in_tree"]]
    if 0 < len(tree) < len(edges):
        mark = "* in the minimum spanning tree, which joins all minima at the lowest barriers"
        print_prose([mark, ""])
    if not 0 < len(tree) <= MOST_TOLD:
        return
    _show_test_errors(tree, error_of(results))
    verdicts = [f"{named(edge['pair'])}: {edge['verdict']}" for edge in tree]
    print_prose([*verdicts, ""])


def _show_test_errors(tree: Rows, error: str) -> None:
    """In per cent, where the training loss is highest on each way, beside the worse end's."""
    from sgdtheory.report.figures.edges import path_name
    from sgdtheory.report.figures.table import table

    if not is_scored(tree):
        return
    tell(f"Test {error} in % at that point, beside that of the worse end:")
    headings = {"pair": "", "ends.test_error": "worse end"}
    for way, heading in (WAYS | {"path": path_name(tree)}).items():
        headings[f"{way}.test_error"] = heading
    shown = table([_test_errors(edge) for edge in tree], headings)
    print_table(shown.headings, shown.rows)
    print()


def _test_errors(edge: Row) -> Row:
    from sgdtheory.report.figures.edges import named

    along = edge["curves"]["path"]["test_error"]
    row: Row = {"pair": named(edge["pair"]), "ends.test_error": max(along[0], along[-1])}
    for way in WAYS:
        of_way = edge.get(way) or {}
        for key, value in of_way.items():
            if "test_error" in key:
                row[f"{way}.{key}"] = value
    return row
