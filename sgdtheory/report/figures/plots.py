"""Pictures that a run describes as data: columns of its tables against each other, drawn without a
line of code of its own."""

from typing import TYPE_CHECKING

from sgdtheory.errors import UserError
from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, INK, PALE, log_axis
from sgdtheory.runs.foreign import NAME
from sgdtheory.statistics.rows import Row, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

MARKS = "os^Dv<>P"  # a curve is told by its mark as well as by its colour
PANEL = 3.4  # inches of height of a row of panels
IN_A_ROW = 2  # panels
LETTERS, MARK = 84, 7  # that a line of the legend has room for, and that a mark takes of it


def plots(run: RunData) -> list[Figure]:
    """One figure for each `measured.Plot` in results.json whose table has rows."""
    tables = run.results | run.results.get("tables", {})
    described = run.results.get("plots", [])
    names = [plot["name"] for plot in described]
    if strange := [name for name in names if not (isinstance(name, str) and NAME.fullmatch(name))]:
        raise UserError(
            f"{run.path / 'results.json'}: {strange[0]!r} is no name of a picture: letters, "
            f"digits, - and _"
        )
    shown = [plot for plot in described if tables.get(plot["table"])]
    return [
        _plot(plot, tables[plot["table"]], tables.get(plot.get("singles"), [])) for plot in shown
    ]


def _plot(plot: Row, rows: Rows, singles: Rows) -> Figure:
    """`singles`: what the rows are means of, if the plot names them: dots, and the numbers beside
    the picture."""
    columns = min(IN_A_ROW, len(plot["y"]))
    height = PANEL * -(-len(plot["y"]) // columns)

    def paint(canvas: "Canvas") -> None:
        panels = canvas.subplots(-(-len(plot["y"]) // columns), columns, squeeze=False).flatten()
        for k, axes in enumerate(panels):
            if k < len(plot["y"]):
                _panel(axes, plot, rows, singles, k)
            else:
                axes.set_axis_off()
        handles, labels = panels[0].get_legend_handles_labels()
        if len(handles) > 1:
            longest = max(len(label) for label in labels)
            canvas.legend(
                handles,
                labels,
                loc="outside upper center",
                ncols=min(5, len(handles), LETTERS // (longest + MARK)),
            )

    return Figure(
        plot["name"],
        plot["title"],
        plot["caption"],
        drawing_of(plot["name"], height, paint),
        singles or rows,
    )


def _panel(
    axes: "Axes",
    plot: Row,
    rows: Rows,
    singles: Rows,
    k: int,
) -> None:
    x = plot["x"]
    y = plot["y"][k]
    by = plot["by"]
    label = plot["labels"].get
    theory = plot["theory"][k] if plot["theory"] else None
    joined = plot.get("joined", True)
    if plot["level"] is not None:
        axes.axhline(plot["level"], color=PALE, linewidth=0.9)
    curves = dict.fromkeys(row[by] for row in rows) if by else [None]
    for j, name in enumerate(curves):
        colour = COLOURS[j % len(COLOURS)]
        mark = MARKS[j % len(MARKS)]
        curve = [row for row in rows if by is None or row[by] == name]
        dots = [row for row in singles if by is None or row[by] == name]
        _dots(axes, dots, x, y, colour)
        words = None if by is None else _name(name, label(by, by))
        _curve(axes, curve, x, y, theory, colour, mark, words, joined)
    if "x" in plot["log"]:
        log_axis(axes.xaxis)
    if "y" in plot["log"]:
        log_axis(axes.yaxis)
    axes.set(xlabel=label(x, x), ylabel=label(y, y))
    axes.grid(axis="y")
    if all(isinstance(row[x], str) for row in rows):
        axes.tick_params(axis="x", labelrotation=20)


def _name(value: str | float, quantity: str) -> str:
    """What the legend says of a curve: words as they are, numbers with what they are of."""
    if isinstance(value, str):
        return value
    return f"{quantity} {value:g}"


def _curve(
    axes: "Axes",
    rows: Rows,
    x: str,
    y: str,
    theory: str | None,
    colour: str,
    mark: str,
    name: str | None,
    joined: bool,
) -> None:
    """Marks with one standard error, joined unless theory's line already leads the eye, or x are
    words."""
    known = [row for row in rows if row.get(y) is not None]
    bars = [row.get(f"{y}_stderr") or 0.0 for row in known]
    joined = joined and theory is None and not any(isinstance(row[x], str) for row in known)
    dense = len(known) > 40
    axes.errorbar(
        [row[x] for row in known],
        [row[y] for row in known],
        bars,
        fmt=mark + ("-" if joined else ""),
        color=colour,
        elinewidth=1.1,
        markersize=2.5 if dense else 5,
        label=name,
    )
    if theory is not None:
        told = [row for row in rows if row.get(theory) is not None]
        axes.plot(
            [row[x] for row in told],
            [row[theory] for row in told],
            color=INK if name is None else colour,
            alpha=0.7,
        )


def _dots(axes: "Axes", rows: Rows, x: str, y: str, colour: str) -> None:
    known = [row for row in rows if row.get(y) is not None]
    axes.plot(
        [row[x] for row in known],
        [row[y] for row in known],
        ".",
        color=colour,
        alpha=0.5,
        markersize=3.5,
    )
