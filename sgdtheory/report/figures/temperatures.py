"""Does T follow η/2b? Every cell with its error, on the diagonal or off it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sgdtheory.report.figures.canvas import drawing_of
from sgdtheory.report.figures.columns import OF_ADAM
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, PALE, log_axis
from sgdtheory.statistics.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.typing import HashableList

MARKS = "os^Dv<>P*X"
NAMED = 8  # cells that are named in the picture itself; the caption names all
Cell = Row


def temperatures(run: RunData) -> Figure | None:
    """T against η, then against η/2b, then over the law; what is exact behind it; cells that failed
    greyed and named."""
    cells = run.results.get("cells", [])
    shown = [cell for cell in cells if cell["temperature"].get("excess_loss", {}).get("value")]
    if not shown:
        return None
    sizes = sorted({cell["batch_size"] for cell in cells})
    law = _law(cells)
    exact = [cell for cell in shown if cell.get("height_exact") and cell["noise_trace_at_minimum"]]

    def paint(canvas: "Canvas") -> None:
        rows: list[HashableList[str]] = [["rates", "law"], ["ratio", "ratio"]]
        if exact:
            rows.append(["height", "height"])
        axes = canvas.subplot_mosaic(rows, height_ratios=[5, 4, 4][: len(rows)])
        by_law = axes["law"]
        ratio = axes["ratio"]
        _collapse(axes["rates"], by_law, shown, sizes)
        slope = _slope(run.results.get("fit"))
        by_law.set(xlabel=f"T by {law}", title=slope)
        _ratios(ratio, cells, shown, sizes)
        ratio.set_ylabel(f"T / {law}")
        log_axis(ratio.xaxis)
        lowest = ratio
        if exact:
            lowest = axes["height"]
            _heights(lowest, exact, sizes)
            lowest.set_xlim(ratio.get_xlim())
            log_axis(lowest.xaxis)
            ratio.tick_params(labelbottom=False)
        lowest.set_xlabel(f"T by {law} (cells of equal T side by side)")
        if ratio.get_legend_handles_labels()[0] or by_law.get_legend_handles_labels()[0]:
            canvas.legend(loc="outside upper right", ncols=len(sizes), columnspacing=1.2)

    drawing = drawing_of("temperatures", 7.2 if exact else 5.4, paint)
    caption = _caption(cells, bool(exact))
    numbers = [_row(cell) for cell in cells]
    return Figure("temperatures", f"Temperature against {law}", caption, drawing, numbers)


def _law(cells: list[Cell]) -> str:
    """What T is by theory, where that is short."""
    if any(cell.get("optimiser") == "adam" for cell in cells):
        return "η/2√b"
    is_plain = all(cell["momentum"] == 0 and cell["sampling"] == "iid" for cell in cells)
    return "η/2b" if is_plain else "the law"


def _noise(cells: list[Cell]) -> str:
    """What stands in the place of Tr C where the noise is Adam's."""
    is_of_adam = any(cell.get("optimiser") == "adam" for cell in cells)
    return OF_ADAM if is_of_adam else "Tr C"


def _collapse(rates: "Axes", law: "Axes", cells: list[Cell], sizes: list[int]) -> None:
    """T against η, a line a batch size, beside T against the law, where one diagonal takes them
    all."""
    law.sharey(rates)
    _marks(rates, cells, sizes, lambda cell: cell["learning_rate"], _temperature, lines=True)
    _marks(law, cells, sizes, lambda cell: cell["predicted"], _temperature)
    predicted = [cell["predicted"] for cell in cells]
    ends = [min(predicted), max(predicted)]
    law.plot(ends, ends, color=PALE, linewidth=0.9, zorder=0)
    rates.set(xlabel="learning rate η", ylabel="T from the excess loss")
    law.tick_params(labelleft=False)
    for axes in (rates, law):
        axes.grid(axis="y")
        log_axis(axes.xaxis)
        log_axis(axes.yaxis)


def _ratios(axes: "Axes", cells: list[Cell], shown: list[Cell], sizes: list[int]) -> None:
    """T over the law; cells without a temperature stand at the bottom."""
    apart = _apart(sizes)
    axes.axhline(1, color=PALE, linewidth=0.9)
    axes.grid(axis="y")
    _marks(axes, shown, sizes, apart, _over_the_law, label=True)
    bottom = axes.get_ylim()[0]
    cold = [cell for cell in cells if cell not in shown]
    for cell in cold:
        axes.plot(apart(cell), bottom, "x", color=PALE, clip_on=False)
    grey = [cell for cell in cells if not cell["harmonic"]]
    if len(grey) > NAMED:
        return
    for cell in grey:
        axes.annotate(
            f"η {cell['learning_rate']:g}, b {cell['batch_size']}",
            (apart(cell), bottom if cell in cold else _over_the_law(cell)[0]),
            xytext=(-5, 4),
            textcoords="offset points",
            ha="right",
            color=PALE,
            fontsize=8,
        )


def _heights(axes: "Axes", cells: list[Cell], sizes: list[int]) -> None:
    """The height of the cloud, measured on exact, over what it is to lowest order in η."""
    apart = _apart(sizes)
    axes.axhline(1, color=PALE, linewidth=0.9)
    axes.grid(axis="y")
    _marks(axes, cells, sizes, apart, _over_the_floor)
    for k, size in enumerate(sizes):
        curve = [cell for cell in cells if cell["batch_size"] == size]
        points = sorted((apart(cell), cell["height_exact"] / _floor(cell)) for cell in curve)
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.9, zorder=0)
    axes.set_ylabel(f"2⟨L−L*⟩ / T·{_noise(cells)}(θ*)")


def _temperature(cell: Cell) -> tuple[float, float]:
    found = cell["temperature"]["excess_loss"]
    return found["value"], found["stderr"]


def _over_the_law(cell: Cell) -> tuple[float, float]:
    value, stderr = _temperature(cell)
    return value / cell["predicted"], stderr / cell["predicted"]


def _over_the_floor(cell: Cell) -> tuple[float, float]:
    floor = _floor(cell)
    return cell["height"] / floor, cell["height_stderr"] / floor


def _floor(cell: Cell) -> float:
    """The height to lowest order in η: what additive noise makes of the law."""
    return float(cell["predicted"] * cell["noise_trace_at_minimum"])


def _apart(sizes: list[int]) -> Callable[[Cell], float]:
    """Where a cell is drawn on a logarithmic axis, so that those of equal T do not hide one
    another."""
    middle = (len(sizes) - 1) / 2

    def x(cell: Cell) -> float:
        shift = sizes.index(cell["batch_size"]) - middle
        return float(cell["predicted"] * 1.045**shift)

    return x


def _marks(
    axes: "Axes",
    cells: list[Cell],
    sizes: list[int],
    x: Callable[[Cell], float],
    y: Callable[[Cell], tuple[float, float]],
    lines: bool = False,
    label: bool = False,
) -> None:
    """Marks with bars, a colour and shape a batch size, grey where the cell has left the harmonic
    range."""
    for k, size in enumerate(sizes):
        curve = sorted((cell for cell in cells if cell["batch_size"] == size), key=x)
        colour = COLOURS[k % len(COLOURS)]
        mark = MARKS[k % len(MARKS)]
        if lines:
            heights = [y(cell)[0] for cell in curve]
            axes.plot(list(map(x, curve)), heights, color=colour, linewidth=0.7)
        for is_harmonic in (True, False):
            part = [cell for cell in curve if cell["harmonic"] is is_harmonic]
            if part:
                values, errors = zip(*map(y, part), strict=True)
                axes.errorbar(
                    list(map(x, part)),
                    values,
                    errors,
                    fmt=mark,
                    color=colour if is_harmonic else PALE,
                    elinewidth=1.1,
                    label=f"b = {size}" if label and is_harmonic else None,
                )


def _slope(fit: Row | None) -> str:
    if not fit:
        return ""
    slope, error = fit["slope"], fit["slope_stderr"]
    return f"slope {slope:.3f} ± {error:.3f} over {fit['cells']} cells"


def _row(cell: Cell) -> Row:
    names = (
        "learning_rate",
        "batch_size",
        "predicted",
        "stationary",
        "harmonic",
        "why",
        "noise_trace",
        "noise_trace_at_minimum",
        "height",
        "height_stderr",
        "height_exact",
    )
    row = {name: cell.get(name) for name in names}
    for key, value in cell["temperature"].get("excess_loss", {}).items():
        row[f"excess_loss_{key}"] = value
    return row


def _caption(cells: list[Cell], exact: bool) -> str:
    failed = [
        f"η = {cell['learning_rate']:g}, b = {cell['batch_size']}: {cell['why']}"
        for cell in cells
        if cell["why"]
    ]
    grey = f" Not counted: {'; '.join(failed)}." if failed else ""
    noise = _noise(cells)
    behind = (
        f" At the bottom the height of the cloud over T·{noise} at the minimum, what it is "
        f"to lowest order: the lines are exact, "
        "from the landscape's own stationary covariance; they rise with the learning rate, "
        "and marks must lie on them."
    )
    scaled = ""
    if noise != "Tr C":
        scaled = f" T is that of Adam, 2⟨L − L*⟩ over the mean of {noise}, σᵢ² = Cᵢᵢ."
    return (
        "Each mark is a cell of the grid, a cloud of replicas at one learning rate and batch "
        "size; bars are one standard error "
        "over replicas. Against the learning rate every batch size has a line of its own; "
        "against the predicted temperature "
        "all fall on the diagonal. Below it the same over the prediction, where a departure "
        "can be seen. Grey marks, "
        "named by learning rate and batch size, are so hot that the noise at the cloud is "
        "not that at the minimum any more: "
        "what they lie above one is anharmonicity; a grey cross at the bottom has no "
        "temperature, for it is not stationary."
        f"{behind if exact else ''}{scaled}{grey}"
    )
