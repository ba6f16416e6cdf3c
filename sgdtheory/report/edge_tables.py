"""What edges say together, as tables of a page: the star of straight lines, and renumberings around
triangles."""

from sgdtheory.report.figures.table import Table, number, pair_name, table
from sgdtheory.statistics.rows import Row


def star_table(results: Row) -> Table:
    """The lines from the centre of the tree to all other minima, and their mean."""
    star = results["star"]
    unit = results.get("scores", {}).get("unit", "")
    in_unit = f" / {unit}" if unit else ""
    columns = {
        "pair": "",
        "straight_barrier": f"barrier{in_unit}:\nstraight line",
        "aligned_barrier": f"barrier{in_unit}:\naligned line",
    }
    rows = [{**line, "pair": pair_name(line["pair"])} for line in star["lines"]]
    mean = {name: star.get(name) for name in star if name not in ("centre", "lines")}
    found = table([*rows, {"pair": "mean", **mean}], columns)
    centre = number(star["centre"])
    note = (
        f"Straight lines from minimum {centre}, the centre of the spanning tree, to all others, as "
        f"they are and with hidden units renumbered. Were all without a barrier, the minima would "
        f"be a star (conjectured up to a renumbering, arXiv 2403.07968). The mean has the "
        f"standard error over lines."
    )
    return found._replace(notes=[note, *found.notes])


def cycles_table(results: Row) -> Table:
    """How many hidden units are moved where one goes round a triangle of renumberings."""
    rows = []
    for cycle in results["cycles"]:
        name = "-".join(map(str, cycle["minima"]))
        rows.append({**cycle, "minima": name})
    columns = {
        "minima": "triangle",
        "moved": "hidden units\nmoved",
        "units": "of so many",
        "defect": "moved / %",
    }
    found = table(rows, columns)
    note = (
        "Each pair is matched by a renumbering of hidden units of its own; around a triangle the "
        "three should make none. A unit that moves is one on which they disagree "
        "(arXiv 2405.17897)."
    )
    return found._replace(notes=[note, *found.notes])
