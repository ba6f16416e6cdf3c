"""What commands print on stdout: results, status, plans. Fits 80 columns, on a terminal and through
a pipe."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtheory.errors import RunError, UserError
from sgdtheory.report.progress import duration, size
from sgdtheory.report.stdio import pasted, shown, tell
from sgdtheory.runs.folder import CorruptFile, Folder
from sgdtheory.runs.run import demand_as_written, runs_under, status_of

if TYPE_CHECKING:
    from sgdtheory.runs.task import Plan

WIDTH = 80
MARK = b'name="generator" content="sgdtheory"'  # in the head of every page of ours
MOST_ROWS = 12
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
WAYS = {"linear": "straight", "aligned": "aligned", "bezier": "Bézier", "path": "AutoNEB"}
MOST_TOLD = 6  # edges with their verdicts in words, and with a table of test errors
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
MOST_SIDE_BY_SIDE = 3  # minima with numbers and errors in 80 columns
MOST_SAID = 100  # characters of what Python says of a damaged file
MOST_CELLS = 25  # a grid of 5 × 5 is shown whole
MOST_COLUMNS = 6  # of a table that nobody chose columns for


def show_results(path: Path, found: dict[str, Any]) -> None:
    """The one table at the end, the headline, other claims that do not hold, and where the report
    is."""
    from sgdtheory.report.figures.table import table

    rows, columns, left_out = _main_table(found)
    if rows:
        chosen = table(rows, columns)
        print()
        if found.get("edges"):
            tell(
                f"Highest {'training loss' if _scored(found) else 'energy'} on each way "
                f"between two minima:"
            )
        width = MOST_COLUMNS if columns is None else len(chosen.headings)
        body = [row[:width] for row in chosen.rows]
        if left_out:
            body.insert(len(body) // 2, ["…", *[""] * (len(body[0]) - 1)])
        _print_table(chosen.headings[:width], body)
        if left_out:
            tell(f"… {left_out} more rows: {path / 'table.csv'}")
        _say([*chosen.notes, ""])
    _show_diagnostics(found.get("minima", []), path)
    if found.get("edges"):
        _show_tree(found)
    headline, *others = found.get("claims", []) or [None]
    if headline is not None:
        _say(
            [
                _sentence(headline),
                *(_sentence(claim) for claim in others if claim["holds"] is False),
            ]
        )
    if (path / "report.html").exists():
        tell(f"report: {path / 'report.html'}")


def _main_table(found: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str] | None, int]:
    """(rows, columns and headings where somebody chose them, how many rows are left out between
    best and worst)."""
    name = next((name for name in ("edges", "cells", "minima") if found.get(name)), None)
    rows = found[name] if name else next(iter(found.get("tables", {}).values()), [])
    columns = None
    if name == "minima":
        formula = all(row.get("test_loss") is None for row in rows)
        columns, order = (FORMULA, "objective") if formula else (MINIMA, "test_loss")
        rows = (
            rows
            if len(rows) <= MOST_ROWS
            else sorted(rows, key=lambda row: (row[order] is None, row[order] or 0))
        )
    if name == "edges":
        rows, columns = _edges(found)
    if name == "cells" and any("excess_loss" in row["temperature"] for row in rows):
        return rows[:MOST_CELLS], CELLS, max(0, len(rows) - MOST_CELLS)
    if len(rows) <= MOST_ROWS:
        return rows, columns, 0
    half = MOST_ROWS // 2
    return rows[:half] + rows[-half:], columns, len(rows) - 2 * half


def _show_diagnostics(minima: list[dict[str, Any]], path: Path) -> None:
    """What diagnostics say of the first minima, a line a column, minima side by side; single
    eigenvalues are in table.csv."""
    from sgdtheory.report.figures.table import heading, table

    names = [
        name for name in dict.fromkeys(name for row in minima for name in row) if name not in POINT
    ]
    names = [
        name
        for name in names
        if not name.endswith(("_stderr", "_why")) and not name.startswith("eigenvalue_")
    ]
    if not names:
        return
    shown = table(
        minima[:MOST_SIDE_BY_SIDE], {"name": "", **{name: heading(name) for name in names}}
    )
    columns = list(zip(*shown.rows, strict=True))
    body = [[label, *cells] for label, cells in zip(shown.headings[1:], columns[1:], strict=True)]
    _print_table(["minimum", *columns[0]], body)
    more = (
        f"… {len(minima) - MOST_SIDE_BY_SIDE} more minima: {path / 'table.csv'}"
        if len(minima) > MOST_SIDE_BY_SIDE
        else ""
    )
    _say([*shown.notes, *([more] if more else []), ""])


def _edges(found: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row an edge, the spanning tree's first: the highest training loss on each way between its
    ends, of formulas energy."""
    from sgdtheory.report.figures.edges import path_name, tree_first

    edges = tree_first(found)
    starred, scored = not all(edge["in_tree"] for edge in edges), _scored(found)
    rows = []
    for edge in edges:
        path = edge["path"]
        row: dict[str, Any] = {
            "pair": _pair(edge, starred),
            "test_error": path["test_error"],
            "gradients": path["gradients"],
        }
        row["test_error_stderr"] = path.get("test_error_stderr")
        for way in WAYS:
            highest = (edge.get(way) or {}).get("train_loss")
            if highest is not None and way != "path" and scored:
                highest = float(f"{highest:.3g}")  # so that the widest numbers fit
            row |= {way: highest, f"{way}_why": edge.get(f"{way}_why")}
        rows.append({**row, "path_stderr": path.get("train_loss_stderr")})
    columns = {
        "pair": "",
        **WAYS,
        "path": path_name(edges),
        "test_error": "test error %\nat the top",
        "gradients": "gradients",
    }
    return rows, {
        name: heading for name, heading in columns.items() if name != "test_error" or scored
    }


def _scored(found: dict[str, Any]) -> bool:
    return any(edge["path"].get("test_error") is not None for edge in found["edges"])


def _pair(edge: dict[str, Any], starred: bool) -> str:
    from sgdtheory.report.figures.edges import named

    return f"{named(edge['pair'])}{' *' if starred and edge['in_tree'] else ''}"


def _show_tree(found: dict[str, Any]) -> None:
    """What the marks mean; test errors on the way and verdicts in words, while the edges of the
    tree are few."""
    from sgdtheory.report.figures.edges import named, tree_first

    edges = tree_first(found)
    tree = [edge for edge in edges if edge["in_tree"]]
    if 0 < len(tree) < len(edges):
        _say(["* in the minimum spanning tree, which joins all minima at the lowest barriers", ""])
    if not 0 < len(tree) <= MOST_TOLD:
        return
    _show_test_errors(tree)
    _say([*(f"{named(edge['pair'])}: {edge['verdict']}" for edge in tree), ""])


def _show_test_errors(tree: list[dict[str, Any]]) -> None:
    """In per cent, where the training loss is highest on each way, beside the worse end's."""
    from sgdtheory.report.figures.edges import named, path_name
    from sgdtheory.report.figures.table import table

    rows = []
    for edge in tree:
        along = edge["curves"]["path"]["test_error"]
        if along is None:
            return
        tops = {
            f"{way}.{key}": value
            for way in WAYS
            for key, value in (edge.get(way) or {}).items()
            if "test_error" in key
        }
        rows.append(
            {"pair": named(edge["pair"]), "ends.test_error": max(along[0], along[-1]), **tops}
        )
    names = {"pair": "", "ends.test_error": "worse end"}
    tell("Test error in % at that point, beside that of the worse end:")
    ways = WAYS | {"path": path_name(tree)}
    chosen = table(rows, names | {f"{way}.test_error": heading for way, heading in ways.items()})
    _print_table(chosen.headings, chosen.rows)
    print()


def _sentence(claim: dict[str, Any]) -> str:
    """A claim, and whether it holds."""
    if claim["holds"]:
        return str(claim["statement"])
    described = claim["holds"] is None and not claim["expected"]  # nothing was expected
    if described or (
        claim["holds"] is None and str(claim["statement"]).startswith("cannot be said")
    ):
        return str(claim["statement"])
    if claim["holds"] is None:
        return f"{claim['statement']} (cannot be said{': ' + claim['why'] if claim['why'] else ''})"
    return f"{claim['statement']} (does not hold; expected: {claim['expected']})"


def show_status(paths: list[Path], root: Path) -> None:
    """All runs under `root`, a line each and what it says or why not; with paths, the units of
    those runs."""
    if paths:
        for path in paths:
            with _as_read(path):
                _show_units(path)
        return
    runs = runs_under(root)
    if not runs:
        tell(f"no runs under {root} yet; `sgdtheory train` makes one")
        return
    found = [(path, *status_of(path)) for path in runs]
    lines = _aligned(
        [
            [str(path), status, _count(units), _age(manifest)]
            for path, status, manifest, units in found
        ]
    )
    for (path, status, manifest, _), line in zip(found, lines, strict=True):
        tell(line)
        with _as_read(path):
            _in_short(path, status, manifest)


@contextmanager
def _as_read(path: Path) -> Iterator[None]:
    """What goes wrong in this block is the fault of a run's files, which are not as a run writes
    them."""
    try:
        yield
    except (UserError, RunError, OSError):
        raise
    except Exception as fault:  # whatever nonsense a file holds
        said = next(iter(str(fault).splitlines()), "")[:MOST_SAID]
        raise UserError(
            f"{path}: its files are not as a run writes them ({type(fault).__name__}: {said})"
        ) from fault


def _show_units(path: Path) -> None:
    if not (path / "manifest.json").exists():
        why = "no run is here (no manifest.json)" if path.exists() else "no such directory"
        raise UserError(f"{path}: {why}; `sgdtheory status` lists the runs under ./runs")
    status, manifest, units = status_of(path)
    tell(" · ".join([str(path), status, _count(units), _age(manifest)]))
    _in_short(path, status, manifest)
    rows = [[unit["name"], unit["status"], _seconds(unit), unit.get("why", "")] for unit in units]
    if rows:
        _print_table(["unit", "status", "time", "why"], rows, right=(2,))


def _in_short(path: Path, status: str, manifest: dict[str, Any]) -> None:
    """Below the line of a run: what it says, or why it says nothing, and the command that goes on
    with it."""
    if status == "damaged":
        _say([f"  {manifest['why']}"])
        return
    try:
        demand_as_written(path, ("results.json", "table.csv"), manifest)
        claims = Folder(path).read_object("results.json").get("claims", [])
    except CorruptFile as fault:
        _say([f"  not as measured: {fault}"])
        return
    if status == "failed":
        _say([f"  {manifest.get('why') or 'some of its units failed'}"])
    elif claims:
        _say([f"  {claims[0]['statement']}"])
    if status in ("interrupted", "failed"):
        command = pasted(manifest.get("command_line")) or "the command that began it"
        tell(f"  go on with: {command}{' --retry-failed' if status == 'failed' else ''}")


def _count(units: list[dict[str, Any]]) -> str:
    """3/5, 1 failed, 1 unfinished"""
    counts = {
        status: sum(unit["status"] == status for unit in units)
        for status in ("done", "failed", "running")
    }
    left = len(units) - sum(counts.values())
    more = [(counts["failed"], "failed"), (counts["running"], "running"), (left, "unfinished")]
    return ", ".join(
        [f"{counts['done']}/{len(units)}", *(f"{count} {what}" for count, what in more if count)]
    )


def _age(manifest: dict[str, Any]) -> str:
    moment = manifest.get("finished") or manifest.get("started")
    return "" if moment is None else f"{duration(max(0.0, time.time() - moment))} ago"


def _seconds(unit: dict[str, Any]) -> str:
    return "–" if unit.get("seconds") is None else duration(unit["seconds"])


def show_report(paths: list[Path], out: Path | None) -> None:
    """Draw a report again, or compare several; prints where the page is."""
    from sgdtheory.report.page import compare, draw

    paths = list(dict.fromkeys(paths))
    if out is not None:
        _demand_ours(out)
    if len(paths) > 1:
        with _as_read(paths[0]):
            tell(compare(paths, out))
        return
    with _as_read(paths[0]):
        page = draw(paths[0])
    if out is not None:
        Folder(out.parent).write_bytes(out.name, page.read_bytes())
    tell(out or page)


def _demand_ours(out: Path) -> None:
    """Raise UserError for a file that no report was written into."""
    if out.is_dir():
        raise UserError(f"--out {out}: is a directory; give the name of a page in it")
    if not out.exists():
        return
    with out.open("rb") as page:
        if MARK not in page.read(4096):
            raise UserError(
                f"--out {out}: there is a file of that name which is no report; give another name"
            )


def show_plan(plan: "Plan") -> None:
    """What a task would do, and what it would cost."""
    pending = plan.units - plan.done
    units = f"{plan.units} unit{'s' if plan.units != 1 else ''}"
    if not pending:
        tell(f"{units}: all done already")
    else:
        workers = f"{plan.workers} worker{'s' if plan.workers != 1 else ''}"
        each = f"{plan.each:.1f} s" if plan.each < 10 else duration(plan.each)
        cost = f"{duration(plan.seconds)}, {size(plan.memory)} of memory, {size(plan.disk)} on disk"
        tell(f"{units}: {pending} to do × {each} on {workers} = {cost}")
        more = f", … {pending - 8} more" if pending > 8 else ""
        _say([f"to do: {', '.join(plan.names[:8])}{more}"])
    _say([f"self-check: {check}" for check in plan.checks])
    tell(f"in {plan.path}")
    tell("nothing was done")


def _say(lines: list[str]) -> None:
    """Prose, broken between words at the width."""
    from textwrap import fill

    for line in (shown(line, sys.stdout) for line in lines):
        indent = " " * (len(line) - len(line.lstrip()))
        print(
            fill(
                line,
                WIDTH,
                subsequent_indent=indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


def _in_line(cell: str) -> str:
    """A cell as this terminal shows it, on one line whoever wrote it."""
    return " ".join(shown(str(cell), sys.stdout).splitlines())


def _aligned(rows: list[list[str]]) -> list[str]:
    rows = [[_in_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _print_table(
    headings: list[str], rows: list[list[str]], right: tuple[int, ...] | None = None
) -> None:
    """Columns with a rule below the headings; numbers to the right. What is too wide is folded,
    never cut."""
    from rich.box import SIMPLE_HEAD, Box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    rule = "─" if shown("─", sys.stdout) == "─" else "-"
    box = Box(str(SIMPLE_HEAD).replace("─", rule), ascii=rule == "-")
    grid = Grid(box=box, padding=(0, 1), collapse_padding=True, pad_edge=False, show_edge=False)
    headings, rows = (
        [shown(cell, sys.stdout) for cell in headings],
        [[_in_line(cell) for cell in row] for row in rows],
    )
    tall = any("\n" in name for name in headings)
    for k, name in enumerate(headings):
        numeric = k > 0 if right is None else k in right
        title = Text(name, justify="right" if numeric else "left")
        grid.add_column(
            title,
            justify=title.justify or "left",
            overflow="fold",
            vertical="bottom" if tall else "top",
        )
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    width = WIDTH if not sys.stdout.isatty() else None
    Console(file=sys.stdout, width=width, highlight=False).print(grid)
