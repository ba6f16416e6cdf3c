"""Points that one has: an earlier run, and with it its landscape, model and data; or files."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sgdtheory.checkpoints import file_in, places
from sgdtheory.faults import Failure, Mistake
from sgdtheory.minima import STARTS
from sgdtheory.run import runs_under, status_of

SOURCES = ("landscape", "model", "data")  # root keys that come with an earlier run
MINIMA = "minima.safetensors"
Identity = Callable[[Any], Any]  # a configuration → its landscape as plain data, None where it has none


def adopt(config: Any, touched: Iterable[str], read: Callable[[Path], Any], identity: Identity, newest: bool) -> None:
    """Resolve `minima` of a configuration, in place: runs, files, folders, globs, or null where there is a fitting run,
    become the files that hold points; where a run is among them, the landscape becomes the run's.

    `newest`: whether null may mean the newest train run; a sweep finds its own minimum instead.
    `touched`: root keys that the command line sets; where such a landscape is not the run's, that is a Mistake.
    """
    given = config.get("minima")
    if given is None:
        run_or_none = _newest(Path(str(config.run.root)), read, identity(config), identity) if newest else None
        if run_or_none is not None:
            _take(config, read(run_or_none / "config.yaml"))
            config.minima = [str(_minima_of(run_or_none))]
        return
    words = [given] if isinstance(given, str) else list(given) if hasattr(given, "__iter__") else [given]
    if strange := [word for word in words if not isinstance(word, str) or not word]:
        raise Mistake(f"minima={strange[0]}: give a run, files of points, or a list of them; names with '=' stand in quotes")
    found = [path for word in words for path in places(word)]
    runs = [path for path in found if (path / "manifest.json").exists()]
    if runs:
        _adopt_runs(config, runs, touched, read, identity)
    if config.get("at") is not None and runs:
        config.minima = [str(file) for run in runs for file in _paths_of(run)]
    else:
        config.minima = [str(_minima_of(path) if path in runs else _file(path)) for path in found]


def own_points(config: Any, run: Path, manifest: Any) -> None:
    """Have a run's configuration, read again, take its points from the run itself, which keeps what it was given."""
    files = manifest.get("files", {})
    if config.get("minima") is None or "checkpoint" not in config or MINIMA not in files:
        return
    _check(run, files)
    if manifest["command"] == "sweep-temperature":
        config.checkpoint.key = STARTS
    elif manifest["command"] in ("connect", "diagnose"):
        config.checkpoint.key = None
    else:
        return
    config.minima = [str(run / MINIMA)]


def _adopt_runs(config: Any, runs: list[Path], touched: Iterable[str], read: Callable[[Path], Any], identity: Identity) -> None:
    """The landscape of runs, which must be one and the same, and that of the command line where it sets one."""
    theirs = read(_finished(runs[0]) / "config.yaml")
    words = sorted(set(touched) & set(SOURCES))
    if words and identity(config) != identity(theirs):
        raise Mistake(f"{', '.join(words)}: another landscape than that of minima={runs[0]}; leave it out, or train one")
    for run in runs[1:]:
        if identity(read(_finished(run) / "config.yaml")) != identity(theirs):
            raise Mistake(f"minima: {run} is of another landscape than {runs[0]}; take them one at a time")
    _take(config, theirs)


def _take(config: Any, theirs: Any) -> None:
    for key in SOURCES:
        if key in theirs:
            config[key] = theirs[key]


def _minima_of(run: Path) -> Path:
    _check(run, status_of(run)[1]["files"])
    return run / MINIMA


def _file(path: Path) -> Path:
    return file_in(path) if path.is_dir() else path


def _paths_of(run: Path) -> list[Path]:
    """The files of a connect run's paths, which stand in the place of its minima."""
    files = sorted(run.glob("paths/*.safetensors"))
    if not files:
        raise Mistake(f"at: says where on a path, and minima={run} has none; give a connect run")
    known = status_of(run)[1]["files"]
    for file in files:
        _check(run, known, str(file.relative_to(run)))
    return files


def _finished(path: Path) -> Path:
    """A run directory with minima."""
    status, manifest, _ = status_of(path)
    if MINIMA not in manifest.get("files", {}):
        go_on = manifest.get("command_line", "the same command")
        raise Mistake(f"minima={path}: that run is {status} and has no minima yet; go on with {go_on}")
    return path


def _newest(root: Path, read: Callable[[Path], Any], landscape: Any, identity: Identity) -> Path | None:
    """The newest finished train run of the same landscape."""
    for path in reversed(runs_under(root, "train")):
        status, manifest, _ = status_of(path)
        if status == "done" and MINIMA in manifest.get("files", {}):
            try:
                same = identity(read(path / "config.yaml")) == landscape
            except Mistake:  # a run of a package that is not trusted here is another landscape
                continue
            if same:
                return path
    return None


def _check(run: Path, files: Any, name: str = MINIMA) -> None:
    """Whether a file of minima or of a path is the one that the run wrote."""
    path = run / name
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as fault:
        raise Failure(f"{path} cannot be read ({fault.strerror})") from None
    if found != files.get(name):
        raise Failure(f"{path} is not the file that its run wrote (checksums differ): run that command again")
