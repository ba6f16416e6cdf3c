"""What the minima are: loss and error of each with error bars, or the value of a formula's."""

from math import isfinite
from typing import TYPE_CHECKING

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import TEST, TRAIN, log_axis, wants_log
from sgdtheory.statistics.rows import Row, Rows, error_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SCORES = ("name", "train_loss", "test_loss", "train_error", "test_error")
MOST_NAMED = 40  # rows with their names beside them


def minima(run: RunData) -> Figure | None:
    """Loss and error of every minimum on training and test data; of formulas their values."""
    rows = run.results.get("minima", [])
    if not rows:
        return None
    if run.is_formula:
        return _values(rows)
    numbers = [_taken(row, SCORES) for row in rows]

    def paint(canvas: "Canvas") -> None:
        left, right = canvas.subplots(1, 2, sharey=True)
        for axes, what, scale in ((left, "loss", 1.0), (right, "error", 100.0)):
            _dots(axes, rows, f"train_{what}", scale, TRAIN, "training")
            _dots(axes, rows, f"test_{what}", scale, TEST, "test")
        losses = []
        for row in rows:
            losses += [row.get("train_loss"), row.get("test_loss")]
        if wants_log([loss for loss in losses if loss is not None]):
            log_axis(left.xaxis)
        left.set_xlabel(f"loss / {run.loss_unit}" if run.loss_unit else "loss")
        lowest, _ = right.get_xlim()
        right.set(xlabel=f"{error_of(run.results)} / %", xlim=(min(0.0, lowest), None))
        _name_rows(left, rows)
        right.tick_params(axis="y", length=0)
        handles, labels = left.get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside upper right", ncols=2)

    error = error_of(run.results)
    share = "the targets' variance that is left unexplained"
    if error == "error":
        share = "examples that are classified wrongly"
    caption = (
        f"Left the mean loss without the L2 term, right the share of {share}, both over all "
        "examples. Bars are one standard error, for examples drawn anew; where none is seen "
        "it is smaller than the dot. A "
        f"minimum that fits its data has training {error} 0; the gap between the colours is how "
        "much worse it does on data it "
        "has not seen. Minima whose bars overlap are equally good as far as these examples "
        "can tell."
    )
    drawing = drawing_of("minima", _height(rows), paint)
    return Figure("minima", "The minima, on training and test data", caption, drawing, numbers)


def _values(rows: Rows) -> Figure:
    """The minima of a formula have values, no scores."""
    numbers: Rows = []
    for row in rows:
        numbers.append({key: row.get(key) for key in ("name", "objective", "gradient_norm")})
    values = [row["objective"] for row in rows if row["objective"] is not None]

    def paint(canvas: "Canvas") -> None:
        axes = canvas.subplots()
        _dots(axes, rows, "objective", 1.0, TRAIN)
        if _are_equal(values):
            value = values[0]
            room = 1.0
            if abs(value) > 1e-9:
                room = 0.5 * abs(value)
            axes.set_xlim(value - room, value + room)
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.set_xlabel("value at the minimum")
        _name_rows(axes, rows)

    caption = (
        "The value of the objective at each point that was found. Points at equal values are "
        "the same minimum or equivalent "
        "ones; one further right is a local minimum that is not the lowest. A formula has no "
        "examples, hence no error bars."
    )
    drawing = drawing_of("minima", _height(rows), paint)
    return Figure("minima", "The minima, by their values", caption, drawing, numbers)


def _taken(row: Row, columns: tuple[str, ...]) -> Row:
    """These columns of a row, with their errors."""
    taken: Row = {}
    for column in columns:
        for key in (column, f"{column}_stderr"):
            if key in row:
                taken[key] = row[key]
    return taken


def _are_equal(values: list[float]) -> bool:
    """Whether numbers differ by rounding alone."""
    if not values:
        return False
    scale = max(1.0, *map(abs, values))
    return max(values) - min(values) < 1e-9 * scale


def _dots(
    axes: "Axes",
    rows: Rows,
    column: str,
    scale: float,
    colour: str,
    label: str | None = None,
) -> None:
    heights = []
    values = []
    bars = []
    for y, row in enumerate(rows):
        value = row.get(column)
        if value is not None and isfinite(value):
            error = row.get(f"{column}_stderr") or 0.0
            heights.append(y)
            values.append(scale * value)
            bars.append(scale * error)
    axes.errorbar(values, heights, xerr=bars, fmt="o", elinewidth=1.1, color=colour, label=label)


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
