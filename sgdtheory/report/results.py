"""What a command prints at its end: the one table, the headline, and where the report is."""

from pathlib import Path
from typing import NamedTuple

from sgdtheory.report.edge_results import edge_rows, is_scored, show_tree
from sgdtheory.report.stdio import tell
from sgdtheory.report.terminal import print_prose, print_table
from sgdtheory.runs.folder import Json
from sgdtheory.statistics.rows import Row, Rows, error_of

MOST_ROWS = 12
MOST_CELLS = 25  # a grid of 5 × 5 is shown whole
MOST_COLUMNS = 6  # of a table that nobody chose columns for
MOST_SIDE_BY_SIDE = 3  # minima with numbers and errors in 80 columns
MINIMA = {
    "name": "",
    "train_loss": "train loss",
    "train_error": "train\nerror %",
    "test_loss": "test loss",
    "test_error": "test\nerror %",
    "gradient_norm": "|∇obj.|",
    "steps": "steps",
}
FORMULA = {
    "name": "",
    "objective": "objective",
    "gradient_norm": "|∇objective|",
    "parameter_norm": "|θ|",
    "steps": "steps",
}
CELLS = {
    "learning_rate": "η",
    "batch_size": "b",
    "predicted": "predicted",
    "temperature.excess_loss": "T",
    "stationary": "sta-\ntionary",
    "harmonic": "har-\nmonic",
    "steps": "steps",
}
# what is said of every minimum; other columns are a diagnostic's
POINT = (
    "name",
    "objective",
    "objective_gap",
    "gradient_norm",
    "parameter_norm",
    "steps",
    "learning_rate",
    "train_loss",
    "train_error",
    "test_loss",
    "test_error",
    "source",
    "train_loss_own_statistics",
    "train_error_own_statistics",
    "test_loss_own_statistics",
    "test_error_own_statistics",
)


class Chosen(NamedTuple):
    """What of a run's tables is shown."""

    rows: Rows
    columns: dict[str, str] | None  # headings by column, where somebody chose them
    left_out: int = 0  # rows between the best and the worst

    def shortened(self) -> "Chosen":
        """The first and the last rows of a long table."""
        if len(self.rows) <= MOST_ROWS:
            return self
        half = MOST_ROWS // 2
        ends = self.rows[:half] + self.rows[-half:]
        return Chosen(ends, self.columns, len(self.rows) - len(ends))


def show_results(path: Path, results: Json) -> None:
    """The one table at the end, the headline, other claims that do not hold, and where the report
    is."""
    chosen = _main_table(results)
    if chosen.rows:
        print()
        if results.get("edges"):
            quantity = "training loss" if is_scored(results["edges"]) else "energy"
            tell(f"Highest {quantity} on each way between two minima:")
        _show_table(chosen, path)
        _show_sources(chosen.rows)
    _show_diagnostics(results.get("minima", []), path)
    if results.get("edges"):
        show_tree(results)
    _show_claims(results.get("claims", []))
    _show_report(path)


def show_in_short(path: Path, results: Json) -> None:
    """One of several runs: its headline, and where its report is."""
    claims = results.get("claims", [])
    print_prose([_sentence(claim) for claim in claims[:1]])
    _show_report(path)


def _show_report(path: Path) -> None:
    if (path / "report.html").exists():
        tell(f"report: {path / 'report.html'}")


def _show_table(chosen: Chosen, path: Path) -> None:
    from sgdtheory.report.figures.table import table

    shown = table(chosen.rows, chosen.columns)
    width = MOST_COLUMNS if chosen.columns is None else len(shown.headings)
    body = [row[:width] for row in shown.rows]
    if chosen.left_out:
        gap = ["…", *[""] * (len(body[0]) - 1)]
        body.insert(len(body) // 2, gap)
    print_table(shown.headings[:width], body)
    if chosen.left_out:
        tell(f"… {chosen.left_out} more rows: {path / 'table.csv'}")
    print_prose([*shown.notes, ""])


def _show_sources(rows: Rows) -> None:
    """Which file each minimum is of, where they are of several."""
    sources = {str(row["name"]): str(row["source"]) for row in rows if row.get("source")}
    files = {source.partition(": ")[0] for source in sources.values()}
    if len(files) > 1:
        print_prose([*(f"{name}: {source}" for name, source in sources.items()), ""])


def _main_table(results: Json) -> Chosen:
    """Edges, cells of a sweep or minima, whichever come first; else the first table of a study."""
    if results.get("edges"):
        return Chosen(*edge_rows(results)).shortened()
    if results.get("cells"):
        rows: Rows = results["cells"]
        if any("excess_loss" in row["temperature"] for row in rows):
            return Chosen(rows[:MOST_CELLS], CELLS, max(0, len(rows) - MOST_CELLS))
        return Chosen(rows, None).shortened()
    if results.get("minima"):
        return _minima(results).shortened()
    first: Rows = next(iter(results.get("tables", {}).values()), [])
    return Chosen(first, None).shortened()


def _minima(results: Json) -> Chosen:
    """The minima, from the best to the worst where they are many."""
    rows: Rows = results["minima"]
    is_formula = all(row.get("test_loss") is None for row in rows)
    columns, order = (FORMULA, "objective") if is_formula else (MINIMA, "test_loss")
    error = error_of(results)
    columns = {name: heading.replace("error", error) for name, heading in columns.items()}
    if len(rows) > MOST_ROWS:
        rows = sorted(rows, key=lambda row: (row[order] is None, row[order] or 0))
    return Chosen(rows, columns)


def _show_diagnostics(minima: Rows, path: Path) -> None:
    """What diagnostics say of the first minima, a line a column, minima side by side; single
    eigenvalues are in table.csv."""
    from sgdtheory.report.figures.columns import heading
    from sgdtheory.report.figures.table import table

    names = _diagnostic_columns(minima)
    if not names:
        return
    columns = {"name": "", **{name: heading(name) for name in names}}
    shown = table(minima[:MOST_SIDE_BY_SIDE], columns)
    titles, *cells = zip(*shown.rows, strict=True)
    body = [[label, *row] for label, row in zip(shown.headings[1:], cells, strict=True)]
    print_table(["minimum", *titles], body)
    more = len(minima) - MOST_SIDE_BY_SIDE
    left_out = [f"… {more} more minima: {path / 'table.csv'}"] if more > 0 else []
    print_prose([*shown.notes, *left_out, ""])


def _diagnostic_columns(minima: Rows) -> list[str]:
    names: dict[str, None] = {}  # in the order in which they first appear
    for row in minima:
        names |= dict.fromkeys(row)
    return [name for name in names if name not in POINT and not _is_detail(name)]


def _is_detail(name: str) -> bool:
    return name.endswith(("_stderr", "_why")) or name.startswith("eigenvalue_")


def _show_claims(claims: list[Row]) -> None:
    """The headline, and which others do not hold."""
    if not claims:
        return
    others = [claim for claim in claims[1:] if claim["holds"] is False]
    print_prose([_sentence(claim) for claim in (claims[0], *others)])


def _sentence(claim: Row) -> str:
    """A claim, and whether it holds."""
    statement = str(claim["statement"])
    if claim["holds"]:
        return statement
    if claim["holds"] is not None:
        return f"{statement} (does not hold; expected: {claim['expected']})"
    if not claim["expected"] or statement.startswith("cannot be said"):
        return statement
    why = f": {claim['why']}" if claim["why"] else ""
    return f"{statement} (cannot be said{why})"
