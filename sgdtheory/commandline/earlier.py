"""Points that one has: an earlier run, and with it its landscape, model and data; or files."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from sgdtheory.errors import RunError, UserError
from sgdtheory.pipelines.checkpoints.files import file_in, places
from sgdtheory.pipelines.checkpoints.reading import names_in
from sgdtheory.pipelines.minima_file import STARTS
from sgdtheory.report.progress import duration
from sgdtheory.report.stdio import pasted
from sgdtheory.runs.folder import digest
from sgdtheory.runs.foreign import held
from sgdtheory.runs.run import demand_as_written, results_of, runs_under, status_of

SOURCES = ("landscape", "model", "data")  # root keys that come with an earlier run
RATE = "learning_rate"  # of a landscape: what auto means on it
MINIMA = "minima.safetensors"
# a configuration → its landscape as plain data, None where it has none
Identity = Callable[[Any], Any]


def adopt(
    config: Any,
    touched: Iterable[str],
    read: Callable[[Path], Any],
    identity: Identity,
    newest: bool,
) -> tuple[str, ...]:
    """Resolve `minima` of a configuration, in place: runs, files, folders, globs, or null where
    there is a fitting run, become the files that hold points; where a run is among them, the
    landscape becomes the run's. Gives what is to be said of a choice that nobody made.

    `newest`: whether null may mean the newest train run; a sweep finds its own minimum instead.
    `touched`: keys that the command line sets; where such a landscape is not the run's, that is a
    UserError. A learning rate is no part of a landscape: `landscape.learning_rate` may be another
    one than the run's.
    """
    given, keys = config.get("minima"), set(touched)
    if given is None:
        found, notes = (
            _newest(Path(str(config.run.root)), read, _ground(identity(config)), identity)
            if newest
            else (None, ())
        )
        if found is not None:
            _take(config, _read(found, read), keys)
            config.minima = [str(_minima_of(found))]
        return notes
    words = (
        [given]
        if isinstance(given, str)
        else list(given)
        if hasattr(given, "__iter__")
        else [given]
    )
    if strange := [word for word in words if not isinstance(word, str) or not word]:
        raise UserError(
            f"minima={strange[0]}: give a run, files of points, or a list of them; names "
            f"with '=' stand in quotes"
        )
    paths = [path for word in words for path in places(word)]
    runs, notes = [path for path in paths if (path / "manifest.json").exists()], tuple[str, ...]()
    if runs:
        notes = _adopt_runs(config, runs, keys, read, identity)
    if config.get("at") is not None and runs:
        config.minima = [str(file) for run in runs for file in _paths_of(run)]
    else:
        config.minima = [str(_minima_of(path) if path in runs else _file(path)) for path in paths]
    return notes


def own_points(config: Any, run: Path, manifest: Any) -> None:
    """Have a run's configuration, read again, take its points from the run itself, which keeps what
    it was given."""
    files = manifest.get("files", {})
    if config.get("minima") is None or "checkpoint" not in config or MINIMA not in files:
        return
    if manifest["command"] not in ("connect", "diagnose", "sweep-temperature"):
        return
    _check(run, files)
    config.checkpoint.key = STARTS if STARTS in names_in(run / MINIMA) else None
    config.minima = [str(run / MINIMA)]


def ground_of(landscape: Any) -> str:
    """The digest of a landscape given as plain data, by which a run knows the one that it was made
    on."""
    return digest(_ground(landscape))


def _read(run: Path, read: Callable[[Path], Any]) -> Any:
    """The configuration of a run."""
    try:
        return read(held(run, "config.yaml"))
    except FileNotFoundError:
        raise UserError(f"{run} has no config.yaml: put it back") from None


def _ground(landscape: Any) -> Any:
    """A landscape as plain data without the learning rate that is `auto` on it."""
    return (
        {key: x for key, x in landscape.items() if key != RATE}
        if isinstance(landscape, Mapping)
        else landscape
    )


def _adopt_runs(
    config: Any,
    runs: list[Path],
    touched: set[str],
    read: Callable[[Path], Any],
    identity: Identity,
) -> tuple[str, ...]:
    """The landscape of runs, which must be one and the same, and that of the command line where it
    sets one; gives what is to be said of runs whose landscape has changed since."""
    theirs = _read(_finished(runs[0]), read)
    words = sorted({key.split(".")[0] for key in touched} & set(SOURCES))
    if words and _ground(identity(config)) != _ground(identity(theirs)):
        raise UserError(
            f"{', '.join(words)}: another landscape than that of minima={runs[0]}; leave it "
            f"out, or train one"
        )
    for run in runs[1:]:
        if _ground(identity(_read(_finished(run), read))) != _ground(identity(theirs)):
            raise UserError(
                f"minima: {run} is of another landscape than {runs[0]}; take them one at a time"
            )
    _take(config, theirs, touched)
    changed = (run for run in runs if _has_changed(status_of(run)[1], identity(_read(run, read))))
    return tuple(
        f"warning: the code or the data of the landscape of {run} have been changed since; "
        f"its points are taken as they are"
        for run in changed
    )


def _has_changed(manifest: Mapping[str, Any], landscape: Any) -> bool:
    """Whether a run was made on another landscape than its configuration means now."""
    return landscape is not None and manifest.get("landscape") not in (None, ground_of(landscape))


def _take(config: Any, theirs: Any, touched: set[str]) -> None:
    rate = config.landscape[RATE] if f"landscape.{RATE}" in touched else None
    for key in SOURCES:
        if key in theirs:
            config[key] = theirs[key]
    if rate is not None:
        config.landscape[RATE] = rate


def _minima_of(run: Path) -> Path:
    manifest = status_of(run)[1]
    _check(run, manifest.get("files", {}))
    demand_as_written(run, ("results.json",), manifest)  # its errors are going to be told
    return run / MINIMA


def _file(path: Path) -> Path:
    return file_in(path) if path.is_dir() else path


def _paths_of(run: Path) -> list[Path]:
    """The files of a connect run's paths, which stand in the place of its minima."""
    files = sorted(run.glob("paths/*.safetensors"))
    if not files:
        raise UserError(f"at: says where on a path, and minima={run} has none; give a connect run")
    known = status_of(run)[1].get("files", {})
    for file in files:
        _check(run, known, str(file.relative_to(run)))
    return files


def _finished(path: Path) -> Path:
    """A run directory with minima."""
    status, manifest, _ = status_of(path)
    if status == "damaged":
        raise UserError(f"minima={path}: {manifest['why']}")
    if MINIMA not in manifest.get("files", {}):
        go_on = pasted(manifest.get("command_line")) or "the same command"
        raise UserError(
            f"minima={path}: that run is {status} and has no minima yet; go on with {go_on}"
        )
    return path


def _newest(
    root: Path, read: Callable[[Path], Any], landscape: Any, identity: Identity
) -> tuple[Path | None, tuple[str, ...]]:
    """The newest finished train run of the same landscape with two different minima, and what is to
    be said of it: which one it is, and what is wrong with newer ones."""
    notes = []
    for path in reversed(runs_under(root, "train")):
        status, manifest, _ = status_of(path)
        if status == "damaged":
            notes.append(f"{path} is passed over: {manifest['why']}")
            continue
        try:
            if _ground(theirs := identity(_read(path, read))) != landscape:
                continue
        except (
            UserError,
            RunError,
        ):  # a run of a package that is not trusted here is another landscape
            continue
        if status != "done" or MINIMA not in manifest.get("files", {}):
            why = (
                f" ({shorten(manifest['why'], 100, placeholder=' …')})"
                if manifest.get("why")
                else ""
            )
            notes.append(f"{path} is newer, but {status}{why}")
        elif _has_changed(manifest, theirs):
            notes.append(
                f"{path} is newer, but the code or the data of its landscape have been "
                f"changed since"
            )
        elif why := _why_no_ends(path):
            notes.append(f"{path} is newer, but {why}")
        else:
            return path, (f"minima of {path}: {_described(path, manifest)}", *notes[::-1])
    return None, tuple(
        note.replace(" is newer, but", " is of this landscape, but") for note in notes[::-1]
    )


def _why_no_ends(run: Path) -> str:
    """Why the minima of a run are no two points; empty where they are. Rounding counts: on a
    formula a minimum is often found twice."""
    import numpy as np
    from safetensors.numpy import load

    try:
        _check(run, status_of(run)[1]["files"])
        results = results_of(run)
    except RunError as fault:
        return str(fault).removeprefix(f"{run}/")
    cloud = load((run / MINIMA).read_bytes())["minima"].astype(np.float64)
    scored = any(row.get("test_loss") is not None for row in results.get("minima", []))
    near = 0.0 if scored else 1e-6 * (1 + float(np.linalg.norm(cloud[0])))
    several = bool((np.linalg.norm(cloud - cloud[:1], axis=1) > near).any())
    return "" if several else "found one point alone, and a path has two ends"


def _described(run: Path, manifest: Mapping[str, Any]) -> str:
    """4 minima, training error up to 1.2 %, 5 min ago"""
    rows = results_of(run).get("minima", [])
    errors = [row["train_error"] for row in rows if row.get("train_error") is not None]
    error = (
        f"training error "
        f"{'up to ' if len(errors) > 1 and max(errors) else ''}{100 * max(errors):.3g} %"
        if errors
        else ""
    )
    age = (
        f"{duration(max(0.0, time.time() - manifest['finished']))} ago"
        if manifest.get("finished")
        else ""
    )
    count = f"{len(rows)} {'minimum' if len(rows) == 1 else 'minima'}"
    return ", ".join(part for part in (count, error, age) if part)


def _check(run: Path, files: Any, name: str = MINIMA) -> None:
    """Whether a file of minima or of a path is the one that the run wrote."""
    path = run / name
    try:
        with held(run, name).open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as fault:
        raise RunError(f"{path} cannot be read ({fault.strerror})") from None
    if found != files.get(name):
        raise RunError(
            f"{path} is not the file that its run wrote (checksums differ): run that command again"
        )
