"""The command `status`: which runs there are, how far they are, and what they say."""

import json
import time
from pathlib import Path

from sgdtheory.errors import UserError
from sgdtheory.report.many_runs import row_of
from sgdtheory.report.readable import as_written
from sgdtheory.report.stdio import pasted, tell
from sgdtheory.report.terminal import aligned, print_prose, print_table
from sgdtheory.report.units_now import units_now
from sgdtheory.runs.folder import CorruptFile, Folder, Json
from sgdtheory.runs.run import demand_as_written, runs_under, status_of
from sgdtheory.statistics.numbers import duration

FOLDED = 500  # rows of a table that is folded to the width: of more that takes seconds
State = tuple[Path, str, Json, list[Json]]  # of a run: where, status, manifest, rows of its units


def show_status(paths: list[Path], root: Path, as_json: bool = False) -> None:
    """All runs under `root`, a line each and what it says or why not; with paths, the units of
    those runs. `as_json`: a list of objects for programs."""
    if as_json:
        _print_json(paths or runs_under(root), bool(paths))
        return
    for path in paths:
        with as_written(path):
            _show_units(path)
    if not paths:
        _show_runs(root)


def _print_json(paths: list[Path], with_units: bool) -> None:
    """A list of objects, one a run; its units in it where it was asked for by name."""
    rows = []
    for path in paths:
        with as_written(path):
            state = status_of(path)
            row = row_of(path, state)
            if with_units:
                _refuse_nothing(path)
                ((*_, row["units"]),) = with_places([(path, *state)])
            rows.append(row)
    print(json.dumps(rows, indent=1))


def _refuse_nothing(path: Path) -> None:
    if (path / "manifest.json").exists():
        return
    why = "no run is here (no manifest.json)" if path.exists() else "no such directory"
    raise UserError(f"{path}: {why}; `sgdtheory status` lists the runs under ./runs")


def _show_runs(root: Path) -> None:
    runs = runs_under(root)
    if not runs:
        tell(f"no runs under {root} yet; `sgdtheory train` makes one")
        return
    states = with_places([(path, *status_of(path)) for path in runs])
    cells = [
        [str(path), status, _count(units), _age(manifest)]
        for path, status, manifest, units in states
    ]
    for (path, status, manifest, _), line in zip(states, aligned(cells), strict=True):
        tell(line)
        with as_written(path):
            _in_short(path, status, manifest)


def _show_units(path: Path) -> None:
    _refuse_nothing(path)
    ((_, status, manifest, units),) = with_places([(path, *status_of(path))])
    tell(" · ".join([str(path), status, _count(units), _age(manifest)]))
    _in_short(path, status, manifest)
    titles = ["unit", "status", "time", "where", "why"]
    rows = []
    for unit in units:
        where = unit.get("where", "")
        why = unit.get("why", "")
        rows.append([unit["name"], unit["status"], _seconds(unit), where, why])
    if not any(row[3] for row in rows):
        titles.remove("where")
        rows = [[*row[:3], row[4]] for row in rows]
    if len(rows) > FOLDED:
        for line in aligned([titles, *rows]):
            tell(line)
    elif rows:
        print_table(titles, rows, right=(2,))


def with_places(states: list[State]) -> list[State]:
    """The same with where the units are that are not done."""
    rows = units_now((Folder(path), status, units) for path, status, _, units in states)
    return [
        (path, status, manifest, now)
        for (path, status, manifest, _), now in zip(states, rows, strict=True)
    ]


def _in_short(path: Path, status: str, manifest: Json) -> None:
    """Below the line of a run: what it says, or why it says nothing, and the command that goes on
    with it."""
    if status == "damaged":
        print_prose([f"  {manifest['why']}"])
        return
    print_prose([f"  {_asked(manifest)}"])
    try:
        demand_as_written(path, ("results.json", "table.csv"), manifest)
        claims = Folder(path).read_object("results.json").get("claims", [])
    except CorruptFile as fault:
        print_prose([f"  not as measured: {fault}"])
        return
    if status == "failed":
        print_prose([f"  {manifest.get('why') or 'some of its units failed'}"])
    elif claims:
        print_prose([f"  {claims[0]['statement']}"])
    if status in ("interrupted", "failed") and not manifest.get("refused"):
        command = pasted(manifest.get("command_line")) or "the command that began it"
        retry = " --retry-failed" if status == "failed" else ""
        tell(f"  go on with: {command}{retry}")


def _asked(manifest: Json) -> str:
    """seed 3 · model=mlp sgd.steps=40"""
    words = [str(word) for word in manifest.get("overrides", [])]
    others = [word for word in words if not word.startswith("seed=")]
    seed = manifest.get("seed")
    told = []
    if seed is not None:
        told.append(f"seed {seed}")
    if others:
        told.append(" ".join(others))
    return " · ".join(told)


def _count(units: list[Json]) -> str:
    """3/5, 1 failed, 1 unfinished"""
    statuses = [unit["status"] for unit in units]
    done = statuses.count("done")
    failed = statuses.count("failed")
    running = statuses.count("running")
    queued = statuses.count("queued")
    unfinished = len(units) - done - failed - running - queued
    others = {"failed": failed, "running": running, "queued": queued, "unfinished": unfinished}
    more = [f"{count} {what}" for what, count in others.items() if count]
    return ", ".join([f"{done}/{len(units)}", *more])


def _age(manifest: Json) -> str:
    moment = manifest.get("finished") or manifest.get("started")
    if moment is None:
        return ""
    seconds = max(0.0, time.time() - moment)
    return f"{duration(seconds)} ago"


def _seconds(unit: Json) -> str:
    if unit.get("seconds") is None:
        return "–"
    return duration(unit["seconds"])
