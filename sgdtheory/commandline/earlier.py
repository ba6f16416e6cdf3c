"""Starting from an earlier run: its minima, and with them its landscape, model and data."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sgdtheory.faults import Failure, Mistake
from sgdtheory.run import runs_under, status_of

SOURCES = ("landscape", "model", "data")  # root keys that come with an earlier run
Identity = Callable[[Any], Any]  # a configuration → its landscape as plain data, None where it has none


def adopt(config: Any, touched: Iterable[str], read: Callable[[Path], Any], identity: Identity, newest: bool) -> None:
    """Resolve `minima` of a configuration, in place: a run's directory, or null where there is a fitting run, becomes the
    file that holds its minima, and the landscape becomes the run's.

    `newest`: whether null may mean the newest train run; a sweep finds its own minimum instead.
    `touched`: root keys that the command line sets; where such a landscape is not the run's, that is a Mistake.
    """
    given = config.get("minima")
    if isinstance(given, str) and Path(given).is_file():
        config.minima = [given]
    elif isinstance(given, str):
        run = _finished(Path(given))
        theirs = read(run / "config.yaml")
        words = sorted(set(touched) & set(SOURCES))
        if words and identity(config) != identity(theirs):
            raise Mistake(f"{', '.join(words)}: another landscape than that of minima={given}; leave it out, or train one")
        _take(config, theirs, run)
        if config.get("at") is not None:
            _take_paths(config, given, run)
    elif given is None and newest:
        run_or_none = _newest(Path(str(config.run.root)), read, identity(config), identity)
        if run_or_none is not None:
            _take(config, read(run_or_none / "config.yaml"), run_or_none)


def _take(config: Any, theirs: Any, run: Path) -> None:
    for key in SOURCES:
        if key in theirs:
            config[key] = theirs[key]
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


def _newest(root: Path, read: Callable[[Path], Any], landscape: Any, identity: Identity) -> Path | None:
    """The newest finished train run of the same landscape."""
    for path in reversed(runs_under(root, "train")):
        status, manifest, _ = status_of(path)
        if status == "done" and "minima.safetensors" in manifest.get("files", {}):
            try:
                same = identity(read(path / "config.yaml")) == landscape
            except Mistake:  # a run of a package that is not trusted here is another landscape
                continue
            if same:
                return path
    return None


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
