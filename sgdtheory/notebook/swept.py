"""The temperature of SGD's noise around a point, from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtheory.notebook.numbers import Numbers, positive_numbers_of
from sgdtheory.notebook.points import Point, point_of
from sgdtheory.notebook.running import done
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.notebook.words import words_of
from sgdtheory.protocol import Landscape

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from polars import DataFrame


@dataclass(frozen=True, eq=False)
class Swept:
    """T over learning rates and batch sizes, with the law that it is held against."""

    cells: Sequence[Mapping[str, Any]]  # as in results.json
    fit: Mapping[str, Any]  # of log T against log η/b
    claim: str  # in words

    @property
    def table(self) -> "DataFrame":
        """A row a cell: learning rate, batch size, T predicted and measured with its error, whether
        it is stationary, and why not."""
        from polars import DataFrame

        return DataFrame([_row(cell) for cell in self.cells], infer_schema_length=None)

    def plot(self) -> "Figure":
        """T measured against T predicted, as a matplotlib figure."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        rows = [_row(cell) for cell in self.cells]
        known = [row for row in rows if row["T"] is not None and row["predicted"] is not None]
        predicted = [row["predicted"] for row in known]
        axes.errorbar(
            predicted, [row["T"] for row in known], [row["T_stderr"] for row in known], fmt="o"
        )
        if predicted:
            ends = [min(predicted), max(predicted)]
            axes.plot(ends, ends, color="grey", label="the law")
            axes.legend()
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("T predicted")
        axes.set_ylabel("T measured")
        return figure

    def __repr__(self) -> str:
        return f"Swept({self.claim})"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(self.claim)}</p>{self.table._repr_html_()}"


@left_alone()
def swept(
    landscape: Landscape,
    minimum: Point,
    learning_rates: Numbers | None = None,
    batch_sizes: Numbers | None = None,
    words: str | Sequence[str] = (),
    run: str | Path | None = None,
    quiet: bool | None = None,
) -> Swept:
    """Measure the temperature of SGD's noise below a point: a vector [n], a module or its state
    dict; see `sgdtheory.sweep_temperature`."""
    grid, arguments = [], {}
    if learning_rates is not None:
        rates = positive_numbers_of(learning_rates, "learning_rates")
        grid.append(f"sweep.learning_rate={rates}")
        arguments["sweep.learning_rate"] = "learning_rates"
    if batch_sizes is not None:
        sizes = positive_numbers_of(batch_sizes, "batch_sizes")
        whole = [int(size) if size == int(size) else size for size in sizes]
        grid.append(f"sweep.batch_size={whole}")
        arguments["sweep.batch_size"] = "batch_sizes"
    said = words_of(words, arguments)
    point = point_of(landscape, minimum)[None]
    with done("sweep-temperature", landscape, point, [*grid, *said], run, quiet) as (_, results):
        statement = results["claims"][0]["statement"]
        return Swept(results["cells"], results["fit"], statement)


def _row(cell: Mapping[str, Any]) -> dict[str, Any]:
    measured = cell["temperature"].get("excess_loss") or {}
    return {
        "learning_rate": cell["learning_rate"],
        "batch_size": cell["batch_size"],
        "predicted": cell["predicted"],
        "T": measured.get("value"),
        "T_stderr": measured.get("stderr"),
        "stationary": cell["stationary"],
        "why": cell["why"],
    }
