"""Does T follow η/2b? Every cell with its error, on the diagonal or off it."""

from collections.abc import Callable
from typing import Any

from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.style import COLOURS, PALE, log_axis, svg_of

MARKS = "os^Dv<>P*X"
NAMED = 8  # cells that are named in the picture itself; the caption names all
Cell = dict[str, Any]


def temperatures(run: RunData) -> Figure | None:
    """T against η, then against η/2b, then over the law; what is exact behind it; cells that failed
    greyed and named."""
    cells = run.results.get("cells", [])
    shown = [cell for cell in cells if cell["temperature"].get("excess_loss", {}).get("value")]
    if not shown:
        return None
    sizes = sorted({cell["batch_size"] for cell in cells})
    law = (
        "η/2b"
        if all(cell["momentum"] == 0 and cell["sampling"] == "iid" for cell in cells)
        else "the law"
    )
    exact = [cell for cell in shown if cell.get("height_exact") and cell["noise_trace_at_minimum"]]

    def paint(canvas: Any) -> None:
        rows = [["rates", "law"], ["ratio", "ratio"], *([["height", "height"]] if exact else [])]
        axes = canvas.subplot_mosaic(rows, height_ratios=[5, 4, 4][: len(rows)])
        _collapse(axes["rates"], axes["law"], shown, sizes)
        axes["law"].set(xlabel=f"T by {law}", title=_slope(run.results.get("fit")))
        _ratios(axes["ratio"], cells, shown, sizes)
        axes["ratio"].set_ylabel(f"T / {law}")
        log_axis(axes["ratio"].xaxis)
        if exact:
            _heights(axes["height"], exact, sizes)
            axes["height"].set_xlim(axes["ratio"].get_xlim())
            log_axis(axes["height"].xaxis)
            axes["ratio"].tick_params(labelbottom=False)
        axes[rows[-1][0]].set_xlabel(f"T by {law} (cells of equal T side by side)")
        canvas.legend(loc="outside upper right", ncols=len(sizes), columnspacing=1.2)

    caption, svg = (
        _caption(cells, bool(exact)),
        svg_of("temperatures", 7.2 if exact else 5.4, paint),
    )
    return Figure(
        "temperatures", f"Temperature against {law}", caption, svg, [_row(cell) for cell in cells]
    )


def _collapse(rates: Any, law: Any, cells: list[Cell], sizes: list[int]) -> None:
    """T against η, a line a batch size, beside T against the law, where one diagonal takes them
    all."""
    law.sharey(rates)
    _marks(rates, cells, sizes, lambda cell: cell["learning_rate"], _temperature, lines=True)
    _marks(law, cells, sizes, lambda cell: cell["predicted"], _temperature)
    ends = [pick(cell["predicted"] for cell in cells) for pick in (min, max)]
    law.plot(ends, ends, color=PALE, linewidth=0.9, zorder=0)
    rates.set(xlabel="learning rate η", ylabel="T from the excess loss")
    law.tick_params(labelleft=False)
    for axes in (rates, law):
        axes.grid(axis="y")
        log_axis(axes.xaxis)
        log_axis(axes.yaxis)


def _ratios(axes: Any, cells: list[Cell], shown: list[Cell], sizes: list[int]) -> None:
    """T over the law; cells without a temperature stand at the bottom."""
    apart = _apart(sizes)
    axes.axhline(1, color=PALE, linewidth=0.9)
    axes.grid(axis="y")
    _marks(
        axes,
        shown,
        sizes,
        apart,
        lambda cell: _over(_temperature(cell), cell["predicted"]),
        label=True,
    )
    bottom = axes.get_ylim()[0]
    cold = [cell for cell in cells if cell not in shown]
    for cell in cold:
        axes.plot(apart(cell), bottom, "x", color=PALE, clip_on=False)
    grey = [cell for cell in cells if not cell["harmonic"]]
    for cell in grey if len(grey) <= NAMED else []:
        at = (apart(cell), bottom if cell in cold else _temperature(cell)[0] / cell["predicted"])
        name = f"η {cell['learning_rate']:g}, b {cell['batch_size']}"
        axes.annotate(
            name, at, xytext=(-5, 4), textcoords="offset points", ha="right", color=PALE, fontsize=8
        )


def _heights(axes: Any, cells: list[Cell], sizes: list[int]) -> None:
    """The height of the cloud, measured on exact, over what it is to lowest order in η."""
    apart = _apart(sizes)
    axes.axhline(1, color=PALE, linewidth=0.9)
    axes.grid(axis="y")
    _marks(
        axes,
        cells,
        sizes,
        apart,
        lambda cell: _over((cell["height"], cell["height_stderr"]), _floor(cell)),
    )
    for k, size in enumerate(sizes):
        own = [cell for cell in cells if cell["batch_size"] == size]
        line = sorted((apart(cell), cell["height_exact"] / _floor(cell)) for cell in own)
        axes.plot(
            *zip(*line, strict=True), color=COLOURS[k % len(COLOURS)], linewidth=0.9, zorder=0
        )
    axes.set_ylabel("2⟨L−L*⟩ / T·Tr C(θ*)")


def _temperature(cell: Cell) -> tuple[float, float]:
    found = cell["temperature"]["excess_loss"]
    return found["value"], found["stderr"]


def _over(number: tuple[float, float], scale: float) -> tuple[float, float]:
    return number[0] / scale, number[1] / scale


def _floor(cell: Cell) -> float:
    """The height to lowest order in η: what additive noise makes of the law."""
    return float(cell["predicted"] * cell["noise_trace_at_minimum"])


def _apart(sizes: list[int]) -> Callable[[Cell], float]:
    """Where a cell is drawn on a logarithmic axis, so that those of equal T do not hide one
    another."""
    return lambda cell: (
        cell["predicted"] * 1.045 ** (sizes.index(cell["batch_size"]) - (len(sizes) - 1) / 2)
    )


def _marks(
    axes: Any,
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
        own = sorted((cell for cell in cells if cell["batch_size"] == size), key=x)
        colour, mark = COLOURS[k % len(COLOURS)], MARKS[k % len(MARKS)]
        if lines:
            axes.plot(
                [x(cell) for cell in own], [y(cell)[0] for cell in own], color=colour, linewidth=0.7
            )
        for harmonic in (True, False):
            part = [cell for cell in own if cell["harmonic"] is harmonic]
            if part:
                values, errors = zip(*map(y, part), strict=True)
                name = f"b = {size}" if label and harmonic else None
                style = {
                    "fmt": mark,
                    "color": colour if harmonic else PALE,
                    "elinewidth": 1.1,
                    "label": name,
                }
                axes.errorbar([x(cell) for cell in part], values, errors, **style)


def _slope(fit: dict[str, Any] | None) -> str:
    return (
        ""
        if not fit
        else f"slope {fit['slope']:.3f} ± {fit['slope_stderr']:.3f} over {fit['cells']} cells"
    )


def _row(cell: Cell) -> dict[str, Any]:
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
    return row | {
        f"excess_loss_{key}": value
        for key, value in cell["temperature"].get("excess_loss", {}).items()
    }


def _caption(cells: list[Cell], exact: bool) -> str:
    failed = [
        f"η = {cell['learning_rate']:g}, b = {cell['batch_size']}: {cell['why']}"
        for cell in cells
        if cell["why"]
    ]
    grey = f" Not counted: {'; '.join(failed)}." if failed else ""
    behind = (
        " At the bottom the height of the cloud over T·Tr C at the minimum, what it is to "
        "lowest order: the lines are exact, "
        "from the landscape's own stationary covariance; they rise with the learning rate, "
        "and marks must lie on them."
    )
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
        f"{behind if exact else ''}{grey}"
    )
