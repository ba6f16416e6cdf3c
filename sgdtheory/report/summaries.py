"""What the runs of a group say together: a row for each number, over its seeds. No torch."""

from collections.abc import Iterator, Sequence

from sgdtheory.report.figures.table import Table, Text, number
from sgdtheory.report.many_runs import Group, edges_connected
from sgdtheory.report.quantities import Quantity, is_share, over, quantities_of, with_number
from sgdtheory.statistics.numbers import in_page_sentence
from sgdtheory.statistics.over_seeds import over_seeds, shares_over_seeds
from sgdtheory.statistics.proportions import share
from sgdtheory.statistics.rows import Row, Rows

OF_EDGES = "share of edges connected (± over edges)"
# columns of a summary, with what they are called on a page
HEADINGS = (
    "group",
    "number",
    "runs",
    "seeds",
    "mean over runs",
    "interquartile mean",
    "95 % interval",
    "least",
    "largest",
)
NOTE = (
    "± is one standard error over runs, but for a share of edges, all edges of the runs counted "
    "together; seeds are counted once where several runs have the same. "
    "The interval is of the interquartile mean, the mean of the middle half, by bootstrap over "
    "runs; of shares (errors of classes among them) it is that of arcsin √p, which stays within 0 "
    "and 1. The error of a single run, over its examples, is in its own report."
)


def summaries_of(groups: Sequence[Group]) -> Iterator[Row]:
    """A row for each number of each group of several runs: its mean, interquartile mean and
    interval over seeds; of connect runs the share of edges that are connected besides."""
    for group in groups:
        for quantity in quantities_of(group.runs):
            values = over(group, quantity)
            if len(values) > 1:
                yield _summary(group, quantity, values)
        connected, edges = edges_connected(group)
        if edges:
            counted = share(connected, edges).columns("mean")
            told = {"group": group.name, "number": OF_EDGES}
            yield {**told, **_counts(group), **counted}


def _summary(group: Group, quantity: Quantity, values: Sequence[float]) -> Row:
    is_bounded = is_share(group, quantity) and min(values) >= 0 and max(values) <= 1
    found = shares_over_seeds(values) if is_bounded else over_seeds(values)
    unit = quantity.unit(group.runs[0])
    known = group._replace(runs=with_number(group, quantity))
    return {
        "group": group.name,
        "number": quantity.name,
        **({"unit": unit} if unit else {}),
        **_counts(known),
        **found.columns(),
        "least": min(values),
        "largest": max(values),
    }


def _counts(group: Group) -> Row:
    """How many runs there are, and how many different seeds they have."""
    return {"runs": len(group.runs), "seeds": len({run.seed for run in group.runs})}


def summaries_table(rows: Rows) -> Table:
    """The same for a page."""
    return Table([Text(heading) for heading in HEADINGS], [_told(row) for row in rows], [NOTE])


def _told(row: Row) -> list[str]:
    name = str(row["number"])

    def said(value: float | None, stderr: float | None = None) -> str:
        if value is None:
            return ""
        return Quantity("", name).told(value, stderr, str(row.get("unit", "")))

    low = row.get("interval_low")
    high = row.get("interval_high")
    interval = "" if low is None else in_page_sentence(f"{said(low)} … {said(high)}")
    return [
        Text(row["group"]),
        Text(name.replace("_", " ")),
        number(row["runs"]),
        number(row["seeds"]),
        said(row["mean"], row.get("mean_stderr")),
        said(row.get("interquartile_mean")),
        Text(interval),
        said(row.get("least")),
        said(row.get("largest")),
    ]
