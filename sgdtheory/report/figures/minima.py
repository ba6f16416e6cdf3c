"""What the minima are: loss and error of each with error bars, or the value of a formula's."""

from math import isfinite
from typing import TYPE_CHECKING, Any

from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import TEST, TRAIN, log_axis, svg_of, wants_log
from sgdtheory.statistics.rows import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MOST_NAMED = 40  # rows with their names beside them


def minima(run: RunData) -> Figure | None:
    """Loss and error of every minimum on training and test data; of formulas their values."""
    rows = run.results.get("minima", [])
    if not rows:
        return None
    if run.is_formula:
        return _values(rows)
    columns = ("name", "train_loss", "test_loss", "train_error", "test_error")
    numbers = [
        {key: row.get(key) for c in columns for key in (c, f"{c}_stderr") if key in row}
        for row in rows
    ]

    def paint(canvas: "Canvas") -> None:
        left, right = canvas.subplots(1, 2, sharey=True)
        for axes, what, scale in ((left, "loss", 1.0), (right, "error", 100.0)):
            for split, colour, label in (("train", TRAIN, "training"), ("test", TEST, "test")):
                _dots(
                    axes,
                    rows,
                    f"{split}_{what}",
                    scale,
                    color=colour,
                    markerfacecolor=colour,
                    label=label,
                )
        if wants_log(
            [row[c] for row in rows for c in ("train_loss", "test_loss") if row.get(c) is not None]
        ):
            log_axis(left.xaxis)
        left.set_xlabel("loss / nats" if "cross" in run.config else "loss")
        right.set(xlabel="error / %", xlim=(min(0.0, right.get_xlim()[0]), None))
        _name_rows(left, rows)
        right.tick_params(axis="y", length=0)
        handles, labels = left.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper right", ncols=2)

    caption = (
        "Left the mean loss without the L2 term, right the share of examples that are "
        "classified wrongly, both over all "
        "examples. Bars are one standard error, for examples drawn anew; where none is seen "
        "it is smaller than the dot. A "
        "minimum that fits its data has training error 0; the gap between the colours is how "
        "much worse it does on data it "
        "has not seen. Minima whose bars overlap are equally good as far as these examples "
        "can tell."
    )
    svg = svg_of("minima", _height(rows), paint)
    return Figure("minima", "The minima, on training and test data", caption, svg, numbers)


def _values(rows: Rows) -> Figure:
    """The minima of a formula have values, no scores."""
    numbers = [
        {key: row.get(key) for key in ("name", "objective", "gradient_norm")} for row in rows
    ]
    found = [row["objective"] for row in rows if row["objective"] is not None]

    def paint(canvas: "Canvas") -> None:
        axes = canvas.subplots()
        _dots(axes, rows, "objective", 1.0, color=TRAIN)
        if found and max(found) - min(found) < 1e-9 * max(
            1.0, *map(abs, found)
        ):  # rounding is no spread
            room = 0.5 * abs(found[0]) if abs(found[0]) > 1e-9 else 1.0
            axes.set_xlim(found[0] - room, found[0] + room)
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.set_xlabel("value at the minimum")
        _name_rows(axes, rows)

    caption = (
        "The value of the objective at each point that was found. Points at equal values are "
        "the same minimum or equivalent "
        "ones; one further right is a local minimum that is not the lowest. A formula has no "
        "examples, hence no error bars."
    )
    return Figure(
        "minima",
        "The minima, by their values",
        caption,
        svg_of("minima", _height(rows), paint),
        numbers,
    )


def _dots(axes: "Axes", rows: Rows, column: str, scale: float, **style: Any) -> None:
    at = [
        (y, row)
        for y, row in enumerate(rows)
        if row.get(column) is not None and isfinite(row[column])
    ]
    bars = [scale * (row.get(f"{column}_stderr") or 0.0) for _, row in at]
    values = [scale * row[column] for _, row in at]
    axes.errorbar(values, [y for y, _ in at], xerr=bars, fmt="o", elinewidth=1.1, **style)


def _name_rows(axes: "Axes", rows: Rows) -> None:
    """One row a minimum, the first on top, named as long as there is room."""
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_ylabel("minimum")
    if len(rows) <= MOST_NAMED:
        axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    for each in axes.figure.axes:
        each.grid(axis="both" if len(rows) <= MOST_NAMED else "x")


def _height(rows: Rows) -> float:
    return min(8.0, 1.15 + 0.27 * len(rows))
