"""A run directory as one page, report.html with figures/; several runs as one page that compares
them. No torch."""

import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from sgdtheory.errors import UserError
from sgdtheory.report.figures.canvas import inline
from sgdtheory.report.figures.drawn import drawn
from sgdtheory.report.figures.edges import edges_table
from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.table import (
    Table,
    Text,
    claimed,
    csv_text,
    flatten,
    percent,
    table,
    typeset,
)
from sgdtheory.report.stdio import harmless, paste, pasted
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.foreign import refuse_strange_yaml
from sgdtheory.statistics.numbers import duration
from sgdtheory.statistics.rows import Row, error_of

if TYPE_CHECKING:
    from jinja2 import Environment

# of results.json; table.csv is the first
TABLES = {
    "edges": "The edges",
    "cells": "The cells",
    "minima": "The minima",
    "snapshots": "The trajectories",
    "points": "Along the paths",
}
VERDICTS = {
    True: ("yes", "✓", "holds"),
    False: ("no", "✗", "does not hold"),
    None: ("open", "?", "cannot be said"),
}
FEW = 5  # runs that stand side by side


def draw(run_path: Path) -> Path:
    """Write figures/ and report.html of a run that has results; gives the path of the page."""
    run = finished(run_path)
    folder = Folder(run_path)
    figures = drawn(run)
    for figure in figures:
        folder.write_text(f"figures/{figure.name}.svg", figure.svg)
        folder.write_bytes(f"figures/{figure.name}.pdf", figure.drawing.pdf)
        folder.write_text(f"figures/{figure.name}.csv", csv_text(figure.numbers))
    claims = run.results.get("claims", [])
    failed = [unit for unit in run.units if unit.get("status") == "failed"]
    page = _page(
        "report.html.j2",
        run=run,
        headline=claims[0] if claims else None,
        claims=claims[1:],
        figures=figures,
        failed=failed,
        tables=list(_tables(run.results)),
        facts=_facts(run),
        again=_again(run),
    )
    folder.write_text("report.html", page)
    return run_path / "report.html"


def finished(path: Path) -> RunData:
    """What a run directory holds; a UserError when it is none, or has no results yet."""
    run = RunData.read(path)
    if not run.results:
        if not run.manifest:
            raise UserError(
                f"{path}: no run is here (no manifest.json); `sgdtheory status` lists the "
                f"runs under ./runs"
            )
        command = pasted(run.manifest.get("command_line")) or "the command that began it"
        raise UserError(
            f"{path}: this run is not finished, there is nothing to report yet; go on with\n "
            f" {command}"
        )
    return run


def _page(template: str, **content: object) -> str:
    return _house().get_template(template).render(**content)


@functools.cache
def _house() -> "Environment":
    """The templates, each compiled once a process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    house = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_readable,
    )
    house.filters |= {
        "typeset": typeset,
        "claimed": claimed,
        "inline": inline,
        "duration": duration,
        "pasted": pasted,
    }
    house.globals |= {"verdicts": VERDICTS, "why_of": why_of}
    return house


def _readable(thing: object) -> object:
    """Text for a page without the letters that are commands; what is markup already is left
    alone."""
    return harmless(thing) if type(thing) in (str, Text) else thing


def why_of(claim: Row) -> str:
    """Why a claim cannot be judged, where its own sentence does not say so."""
    why = str(claim.get("why") or "")
    return "" if claim["holds"] is not None or why in claim["statement"] else why


def _tables(results: Row) -> Iterator[tuple[str, Table]]:
    """(title, table) of every list of rows in results.json."""
    error = error_of(results)
    for name, title in TABLES.items():
        if name == "edges" and results.get(name):
            yield title, edges_table(results)
        elif results.get(name):
            found = table(results[name])
            headings = [heading.replace("error", error) for heading in found.headings]
            yield title, found._replace(headings=headings)
    for name, rows in results.get("tables", {}).items():
        if rows:
            yield name.replace("_", " "), table(rows)


def _again(run: RunData) -> str:
    """The command that repeats the run from its own configuration."""
    words = ["sgdtheory", *run.command.split(), "--from", str(run.path / "config.yaml")]
    for package in run.manifest.get("trust", []):
        words += ["--trust", str(package)]
    return paste(words)


def _facts(run: RunData) -> dict[str, str]:
    """What the run was made of, by name."""
    manifest, results = run.manifest, run.results
    versions = ", ".join(
        f"{name} {version}" for name, version in manifest.get("versions", {}).items()
    )
    cost, cores = manifest.get("cost", {}), manifest.get("cores")
    words = (("seconds", "in its units"), ("cpu_seconds", "of CPU time"))
    device = [str(manifest[key]) for key in ("device", "device_name") if manifest.get(key)]
    facts = {
        "landscape": results.get("landscape"),
        "to be known": " · ".join(results.get("warnings", [])),
        "minima": _origin(results.get("minima_from")),
        "dimension": None if results.get("dim") is None else f"{results['dim']:,}",
        "device": " · ".join([*device, f"{cores} cores"] if cores else device),
        "versions": versions,
        "git commit": manifest.get("git"),
        "begun": _moment(manifest.get("started")),
        "time": "" if results.get("seconds") is None else duration(results["seconds"]),
        "cost": ", ".join(f"{duration(cost[name])} {what}" for name, what in words if name in cost),
        "seed": results.get("seed"),
        "self-check": " · ".join(manifest.get("self_check", [])),
        "configuration": results.get("config_hash"),
        "directory": run.path,
    }
    return {name: str(fact) for name, fact in facts.items() if fact not in (None, "")}


def _origin(found: Row | None) -> str | None:
    """Where the minima of a run came from."""
    if not found:
        return None
    if "run" not in found:
        return f"of {', '.join(found['files'])}" if "files" in found else str(found["landscape"])
    error = ""
    if found["train_error"] is not None:
        error = f", training {found['error']} {percent(found['train_error'])}"
    finished_at = _moment(found["finished"]) or "at an unknown time"
    return f"of {found['run']}, finished {finished_at}{error}"


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def table_csv(results: Row) -> str:
    """The tidy table of a run: a row an edge, cell or minimum; of a study its first table. Nested
    numbers have dots."""
    lists = [results[name] for name in TABLES if results.get(name)]
    lists += results.get("tables", {}).values()
    return csv_text(lists[0]) if lists else ""


class Compared(NamedTuple):
    """One run on a page of several."""

    name: str
    link: str
    command: str
    headline: Row | None
    seed: str
    numbers: list[str]  # the value of each claim, in the page's order


def compare(paths: list[Path], out: Path | None) -> Path:
    """One page for several runs: what each says, and in which keys of their configurations they
    differ."""
    runs = [finished(path) for path in dict.fromkeys(paths)]
    out = out or _home(runs)
    claims = {claim["name"]: None for run in runs for claim in run.results.get("claims", [])}
    rows = [_compared(run, out, list(claims)) for run in runs]
    names = [name.replace("_", " ") for name in claims]
    page = _page("compare.html.j2", runs=rows, claims=names, differences=_differences(runs))
    Folder(out.parent).write_text(out.name, page)
    return out


def _home(runs: list[RunData]) -> Path:
    """<root>/compare-<hash>.html: the same runs, in whatever order, have the same page."""
    hashes = "".join(sorted(str(run.results.get("config_hash")) for run in runs))
    return _root(runs[0].path) / f"compare-{hashlib.sha256(hashes.encode()).hexdigest()[:8]}.html"


def _root(path: Path) -> Path:
    """The `runs` of runs/<command>/<name>, as short as it can be said from here."""
    root = path.absolute().parent.parent
    return root.relative_to(Path.cwd()) if root.is_relative_to(Path.cwd()) else root


def _compared(run: RunData, out: Path, names: list[str]) -> Compared:
    claims = {claim["name"]: claim for claim in run.results.get("claims", [])}
    if not (run.path / "report.html").exists():
        draw(run.path)
    link = quote(os.path.relpath(run.path / "report.html", out.parent))
    numbers = [claimed(claims[name]) if name in claims else "" for name in names]
    return Compared(
        run.path.name,
        link,
        run.command,
        next(iter(claims.values()), None),
        str(run.results.get("seed", "–")),
        numbers,
    )


def _differences(runs: list[RunData]) -> Table:
    """The keys of config.yaml (but seed and places) in which runs are not all equal: a row a key,
    of many runs a column."""
    import yaml

    for run in runs:
        refuse_strange_yaml(run.config, str(run.path / "config.yaml"))
    configs = [flatten(yaml.safe_load(run.config) or {}) for run in runs]
    keys: dict[str, None] = {}  # in the order in which they first appear
    for config in configs:
        keys |= dict.fromkeys(key for key in config if key.split(".")[0] not in ("seed", "run"))
    columns: list[list[str]] = [_texts("run", [run.path.name for run in runs])]
    for key in keys:
        values = [config.get(key) for config in configs]
        if len(set(map(str, values))) > 1:
            columns.append(_texts(key, values))
    if len(runs) >= FEW:
        columns = [list(row) for row in zip(*columns, strict=True)]
    return Table(columns[0], columns[1:], [])


def _texts(name: str, values: Sequence[object]) -> list[str]:
    """A name and values as text that is no number, whatever it looks like."""
    cells = ["" if value is None else str(value) for value in values]
    return [Text(cell) for cell in (name, *cells)]
