"""A run directory as one page, report.html with figures/. No torch."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from sgdtheory.errors import UserError
from sgdtheory.report.diagnostic_tables import by_diagnostic
from sgdtheory.report.documentation import Section, section_of
from sgdtheory.report.edge_tables import cycles_table, star_table
from sgdtheory.report.facts import File, again, facts_of, files_of
from sgdtheory.report.figures.columns import for_people, of_adam, with_error
from sgdtheory.report.figures.drawn import drawn
from sgdtheory.report.figures.edges import edges_table
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.table import Table, csv_text, table
from sgdtheory.report.many_runs import unfinished
from sgdtheory.report.rendering import rendered
from sgdtheory.report.seal import PAGE, seal
from sgdtheory.runs.folder import Folder
from sgdtheory.statistics.rows import Row, error_of

# of results.json; table.csv is the first
TABLES = {
    "edges": "The edges",
    "cells": "The cells",
    "minima": "The minima",
    "snapshots": "The trajectories",
    "points": "Along the paths",
}
KEYS = {"cells": 2, "snapshots": 2, "points": 2}  # columns that say which row it is
MOST_EMBEDDED = 1_800_000  # bytes of pictures in a page; with more it links to their files
OF_TEMPERATURE = (
    "T has the unit of a learning rate, Tr C that of a squared gradient; parameters have none."
)


class Shown(NamedTuple):
    """A table of a page: what it is called, how many columns name a row, and files beside it."""

    title: str
    table: Table
    keys: int = 1
    files: tuple[File, ...] = ()


def draw(run_path: Path, out: Path | None = None) -> Path:
    """Write figures/ and the page of a run that has results, report.html or another file; gives its
    path."""
    run = finished(run_path)
    folder = Folder(run_path)
    figures = drawn(run)
    written = _given_away(folder, figures)
    claims = run.results.get("claims", [])
    failed = [unit for unit in run.units if unit.get("status") == "failed"]
    page_path = out or run_path / PAGE
    base = quote(os.path.relpath(run_path, page_path.parent))
    files = files_of(run_path, page_path.parent)
    page = rendered(
        "report.html.j2",
        run=run,
        embedded=_size(figures) < MOST_EMBEDDED,
        headline=claims[0] if claims else None,
        claims=claims[1:],
        figures=figures,
        failed=failed,
        tables=list(_tables(run, files)),
        facts=facts_of(run),
        again=again(run),
        files=files,
        study=run.results.get("study"),
        section=_section(run),
        base="" if base == "." else f"{base}/",
    )
    written[PAGE] = Folder(page_path.parent).write_text(page_path.name, page)
    if out is None:
        seal(run_path, run.sources, written)
    return page_path


def _given_away(folder: Folder, figures: list[Figure]) -> dict[str, str]:
    """Write the files of pictures into figures/; gives the SHA-256 of each by its name."""
    written = {}
    for figure in figures:
        name = f"figures/{figure.name}"
        written[f"{name}.svg"] = folder.write_text(f"{name}.svg", figure.svg)
        written[f"{name}.pdf"] = folder.write_bytes(f"{name}.pdf", figure.drawing.pdf)
        written[f"{name}.csv"] = folder.write_text(f"{name}.csv", csv_text(figure.numbers))
    return written


def _size(figures: list[Figure]) -> int:
    """Bytes of a page's pictures: each as it is shown, and as it is given away."""
    return sum(3 * len(figure.svg) + 2 * len(figure.drawing.pdf) for figure in figures)


def finished(path: Path) -> RunData:
    """What a run directory holds; a UserError when it is none, or has no results yet."""
    run = RunData.read(path)
    if not run.results:
        raise UserError(unfinished(path, run.manifest))
    return run


def _section(run: RunData) -> Section | None:
    """What the documentation has of a run."""
    study = run.results.get("study") or {}
    return section_of(str(study.get("name", run.command)))


def _tables(run: RunData, files: list[File]) -> Iterator[Shown]:
    """Every list of rows in results.json."""
    results = run.results
    unit = run.loss_unit
    for name, title in TABLES.items():
        rows = results.get(name)
        if not rows:
            continue
        if name == "edges":
            paths = tuple(file for file in files if file.name.startswith("paths"))
            yield Shown(title, edges_table(results), files=paths)
            yield from _around(results)
            continue
        if name == "minima":
            yield from _minima(run, title)
            continue
        found = table(for_people(rows), unit=unit)
        yield Shown(title, _named(found, results), KEYS.get(name, 1))
    labels = _labels(results)
    for name, rows in results.get("tables", {}).items():
        if rows:
            found = table(rows, unit=unit, labels=labels.get(name, {}))
            yield Shown(name.replace("_", " "), found)


def _minima(run: RunData, title: str) -> Iterator[Shown]:
    """The scores of the minima, and what each diagnostic says of them."""
    for diagnostic, rows in by_diagnostic(run.results["minima"], run.results):
        heading = f"{title}: {diagnostic}" if diagnostic else title
        found = table(rows, unit=run.loss_unit)
        yield Shown(heading, _named(found, run.results))


def _around(results: Row) -> Iterator[Shown]:
    """What the edges of a graph say together."""
    if results.get("star"):
        yield Shown("The star", star_table(results))
    if results.get("cycles"):
        yield Shown("Renumbering around triangles", cycles_table(results))


def _named(found: Table, results: Row) -> Table:
    """With the words of a run: what its errors are called, and its noise."""
    error = error_of(results)
    headings = [with_error(heading, error) for heading in found.headings]
    notes = found.notes
    cells = results.get("cells") or []
    if any(cell.get("optimiser") == "adam" for cell in cells):
        headings = [of_adam(heading) for heading in headings]
    if any(heading.startswith("T: ") for heading in headings):
        notes = [OF_TEMPERATURE, *notes]
    return found._replace(headings=headings, notes=notes)


def _labels(results: Row) -> dict[str, dict[str, str]]:
    """The words of a study's pictures for the columns of its tables."""
    labels: dict[str, dict[str, str]] = {}
    for plot in results.get("plots", []):
        for name in (plot["table"], plot.get("singles")):
            if name:
                labels.setdefault(name, {}).update(plot["labels"])
    return labels


def table_csv(results: Row) -> str:
    """The tidy table of a run: a row an edge, cell or minimum; of a study its first table. Nested
    numbers have dots."""
    lists = [results[name] for name in TABLES if results.get(name)]
    lists += results.get("tables", {}).values()
    return csv_text(lists[0]) if lists else ""
