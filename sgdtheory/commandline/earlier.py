"""Starting from an earlier run: its minima, and with them its landscape, model and data."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from sgdtheory.faults import Failure, Mistake
from sgdtheory.folder import Folder
from sgdtheory.progress import duration
from sgdtheory.run import runs_under, status_of

SOURCES = ("landscape", "model", "data")  # root keys that come with an earlier run
RATE = "learning_rate"  # of a landscape: what auto means on it
Identity = Callable[[Any], Any]  # a configuration → its landscape as plain data, None where it has none


def adopt(
    config: Any, touched: Iterable[str], read: Callable[[Path], Any], identity: Identity, newest: bool
) -> tuple[str, ...]:
    """Resolve `minima` of a configuration, in place: a run's directory, or null where there is a fitting run, becomes the
    file that holds its minima, and the landscape becomes the run's. Gives what is to be said of a choice that nobody made.

    `newest`: whether null may mean the newest train run; a sweep finds its own minimum instead.
    `touched`: keys that the command line sets; where such a landscape is not the run's, that is a Mistake. A learning rate
    is no part of a landscape: `landscape.learning_rate` may be another one than the run's.
    """
    given, keys = config.get("minima"), set(touched)
    if isinstance(given, str) and Path(given).is_file():
        config.minima = [given]
    elif isinstance(given, str):
        run = _finished(Path(given))
        theirs = read(run / "config.yaml")
        words = sorted({key.split(".")[0] for key in keys} & set(SOURCES))
        if words and _ground(identity(config)) != _ground(identity(theirs)):
            raise Mistake(f"{', '.join(words)}: another landscape than that of minima={given}; leave it out, or train one")
        _take(config, theirs, run, keys)
        if config.get("at") is not None:
            _take_paths(config, given, run)
    elif given is None and newest:
        found, notes = _newest(Path(str(config.run.root)), read, _ground(identity(config)), identity)
        if found is not None:
            _take(config, read(found / "config.yaml"), found, keys)
        return notes
    return ()


def _ground(landscape: Any) -> Any:
    """A landscape as plain data without the learning rate that is `auto` on it."""
    return {key: x for key, x in landscape.items() if key != RATE} if isinstance(landscape, Mapping) else landscape


def _take(config: Any, theirs: Any, run: Path, touched: set[str]) -> None:
    rate = config.landscape[RATE] if f"landscape.{RATE}" in touched else None
    for key in SOURCES:
        if key in theirs:
            config[key] = theirs[key]
    if rate is not None:
        config.landscape[RATE] = rate
    config.minima = [str(run / "minima.safetensors")]
    _check(run)


def _take_paths(config: Any, given: str, run: Path) -> None:
    """The files of a connect run's paths in the place of its minima."""
    files = sorted(run.glob("paths/*.safetensors"))
    if not files:
        raise Mistake(f"at: says where on a path, and minima={given} has none; give a connect run")
    for file in files:
        _check(run, str(file.relative_to(run)))
    config.minima = [str(file) for file in files]


def _finished(path: Path) -> Path:
    """A run directory with minima that is done."""
    if not (path / "manifest.json").exists():
        raise Mistake(f"minima={path}: no such run or file; `sgdtheory status` lists the runs")
    status, manifest, _ = status_of(path)
    if "minima.safetensors" not in manifest.get("files", {}):
        go_on = manifest.get("command_line", "the same command")
        raise Mistake(f"minima={path}: that run is {status} and has no minima yet; go on with {go_on}")
    return path


def _newest(root: Path, read: Callable[[Path], Any], landscape: Any, identity: Identity) -> tuple[Path | None, tuple[str, ...]]:
    """The newest finished train run of the same landscape with two different minima, and what is to be said of it: which
    one it is, and what is wrong with newer ones."""
    notes = []
    for path in reversed(runs_under(root, "train")):
        status, manifest, _ = status_of(path)
        try:
            if _ground(identity(read(path / "config.yaml"))) != landscape:
                continue
        except Mistake:  # a run of a package that is not trusted here is another landscape
            continue
        if status != "done" or "minima.safetensors" not in manifest.get("files", {}):
            why = f" ({shorten(manifest['why'], 100, placeholder=' …')})" if manifest.get("why") else ""
            notes.append(f"{path} is newer, but {status}{why}")
        elif not _has_two(path):
            notes.append(f"{path} is newer, but found one point alone, and a path has two ends")
        else:
            return path, (f"minima of {path}: {_described(path, manifest)}", *notes[::-1])
    return None, tuple(note.replace(" is newer, but", " is of this landscape, but") for note in notes[::-1])


def _has_two(run: Path) -> bool:
    """Whether the minima of a run are more than one point. Rounding counts: on a formula a minimum is often found twice."""
    import numpy as np
    from safetensors.numpy import load

    _check(run)
    cloud = load((run / "minima.safetensors").read_bytes())["minima"].astype(np.float64)
    scored = any(row.get("test_loss") is not None for row in Folder(run).read_json("results.json", {}).get("minima", []))
    near = 0.0 if scored else 1e-6 * (1 + float(np.linalg.norm(cloud[0])))
    return bool((np.linalg.norm(cloud - cloud[:1], axis=1) > near).any())


def _described(run: Path, manifest: Mapping[str, Any]) -> str:
    """4 minima, training error up to 1.2 %, 5 min ago"""
    rows = Folder(run).read_json("results.json", {}).get("minima", [])
    errors = [row["train_error"] for row in rows if row.get("train_error") is not None]
    error = f"training error {'up to ' if len(errors) > 1 and max(errors) else ''}{100 * max(errors):.3g} %" if errors else ""
    age = f"{duration(max(0.0, time.time() - manifest['finished']))} ago" if manifest.get("finished") else ""
    count = f"{len(rows)} {'minimum' if len(rows) == 1 else 'minima'}"
    return ", ".join(part for part in (count, error, age) if part)


def _check(run: Path, name: str = "minima.safetensors") -> None:
    """Whether a file of minima or of a path is the one that the run wrote."""
    _, manifest, _ = status_of(run)
    path = run / name
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as fault:
        raise Failure(f"{path} cannot be read ({fault.strerror})") from None
    if found != manifest["files"].get(name):
        raise Failure(f"{path} is not the file that its run wrote (checksums differ): run that command again")
