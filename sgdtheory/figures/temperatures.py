"""Does T follow η/2b? Every cell with its error, on the diagonal or off it."""

from typing import Any

from sgdtheory.figures.figure import Figure, RunData
from sgdtheory.figures.style import COLOURS, PALE, log_axis, svg_of

MARKS = "os^Dv<>P*X"


def temperatures(run: RunData) -> Figure | None:
    """T from the excess loss against η/2b, above T/T_law; cells that failed their test greyed and named."""
    cells = run.results.get("cells", [])
    shown = [cell for cell in cells if cell["temperature"].get("excess_loss", {}).get("value")]
    if not shown:
        return None
    rows = [_row(cell) for cell in cells]
    sizes = sorted({cell["batch_size"] for cell in shown})
    failed = [f"η = {c['learning_rate']:g}, b = {c['batch_size']}: {c['why']}" for c in cells if c["why"]]

    def paint(canvas: Any) -> None:
        above, below = canvas.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        law = sorted(cell["predicted"] for cell in shown)
        above.plot([law[0], law[-1]], [law[0], law[-1]], color=PALE, linewidth=0.9, label="η/2b" if _plain(cells) else "law")
        below.axhline(1, color=PALE, linewidth=0.9)
        for k, size in enumerate(sizes):
            for harmonic in (True, False):
                part = [cell for cell in shown if cell["batch_size"] == size and cell["harmonic"] is harmonic]
                if part:
                    colour = COLOURS[k % len(COLOURS)] if harmonic else PALE
                    style = {"fmt": MARKS[k % len(MARKS)], "color": colour, "elinewidth": 1.1}
                    label = f"b = {size}" if harmonic else None
                    x = [cell["predicted"] for cell in part]
                    found = [cell["temperature"]["excess_loss"] for cell in part]
                    above.errorbar(x, [t["value"] for t in found], [t["stderr"] for t in found], label=label, **style)
                    ratios = [t["value"] / law for t, law in zip(found, x, strict=True)]
                    below.errorbar(x, ratios, [t["stderr"] / law for t, law in zip(found, x, strict=True)], **style)
        for cell in shown:
            if not cell["harmonic"]:
                at = (cell["predicted"], cell["temperature"]["excess_loss"]["value"] / cell["predicted"])
                name = f"{cell['learning_rate']:g}, {cell['batch_size']}"
                below.annotate(name, at, xytext=(5, 3), textcoords="offset points", color=PALE, fontsize=8)
        log_axis(above.yaxis)
        log_axis(below.xaxis)
        above.set_ylabel("T from the excess loss")
        below.set(xlabel="predicted T", ylabel="T / predicted")
        for axes in (above, below):
            axes.grid(axis="y")
        canvas.legend(loc="outside upper right", ncols=len(sizes) + 1, columnspacing=1.2)

    return Figure("temperatures", "Temperature against η/2b", _caption(cells, failed), svg_of("temperatures", 4.6, paint), rows)


def _plain(cells: list[dict[str, Any]]) -> bool:
    return all(cell["momentum"] == 0 and cell["sampling"] == "iid" for cell in cells)


def _row(cell: dict[str, Any]) -> dict[str, Any]:
    names = (
        "learning_rate",
        "batch_size",
        "predicted",
        "stationary",
        "harmonic",
        "why",
        "noise_trace",
        "noise_trace_at_minimum",
    )
    return {name: cell[name] for name in names} | {f"excess_loss_{k}": v for k, v in cell["temperature"]["excess_loss"].items()}


def _caption(cells: list[dict[str, Any]], failed: list[str]) -> str:
    grey = f" Not counted: {'; '.join(failed)}." if failed else ""
    return (
        "Each mark is a cell of the grid, a cloud of replicas at one learning rate and batch size; bars are one standard error "
        "over replicas. Above, T on logarithmic axes with the line it should lie on; below the same divided by the prediction, "
        "where a departure can be seen. Grey marks, named by learning rate and batch size, are stationary and so hot that the "
        f"noise at the cloud is not that at the minimum any more: what they lie above one is anharmonicity.{grey}"
    )
