"""Points that one has: an earlier run, and with it its landscape, model and data; or files."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sgdtheory.commandline.minima_runs import (
    MINIMA,
    RATE,
    Identity,
    Read,
    check_file,
    config_of,
    has_changed,
    newest_run,
    without_rate,
)
from sgdtheory.errors import UserError
from sgdtheory.pipelines.checkpoints.files import file_in, places
from sgdtheory.pipelines.checkpoints.reading import names_in
from sgdtheory.pipelines.minima_file import STARTS
from sgdtheory.report.stdio import pasted
from sgdtheory.runs.plain import Facts
from sgdtheory.runs.run import demand_as_written, status_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

ADAMS = ("sgdtheory.optim.adam.Adam", "sgdtheory.optim.adamw.AdamW")
SOURCES = ("landscape", "model", "data", "loss")  # root keys that come with an earlier run


def adopt(
    config: "DictConfig",
    touched: Iterable[str],
    read: Read,
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
    keys = set(touched)
    if config.get("minima") is None:
        return _adopt_newest(config, keys, read, identity) if newest else ()
    paths = [path for word in _words(config.minima) for path in places(word)]
    runs = [path for path in paths if (path / "manifest.json").exists()]
    notes = adopt_runs(config, runs, keys, read, identity) if runs else ()
    if config.get("at") is not None and runs:
        config.minima = [str(file) for run in runs for file in _paths_of(run)]
    else:
        config.minima = [str(_minima_of(path) if path in runs else _file(path)) for path in paths]
    return notes


def _words(given: object) -> list[str]:
    """What `minima` names, one by one."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        given = [given]
    words: list[str] = []
    for word in given:
        if not isinstance(word, str) or not word:
            raise UserError(
                f"minima={word}: give a run, files of points, or a list of them; names "
                f"with '=' stand in quotes"
            )
        words.append(word)
    return words


def _adopt_newest(
    config: "DictConfig", touched: set[str], read: Read, identity: Identity
) -> tuple[str, ...]:
    landscape = without_rate(identity(config))
    run, notes = newest_run(Path(str(config.run.root)), read, landscape, identity)
    if run is not None:
        notes = (*notes, *_take(config, config_of(run, read), touched))
        config.minima = [str(_minima_of(run))]
    return notes


def own_points(config: "DictConfig", run: Path, manifest: Facts) -> None:
    """Have a run's configuration, read again, take its points from the run itself, which keeps what
    it was given."""
    files = manifest.get("files", {})
    if config.get("minima") is None or "checkpoint" not in config or MINIMA not in files:
        return
    if manifest["command"] not in ("connect", "diagnose", "sweep-temperature"):
        return
    check_file(run, files)
    config.checkpoint.key = STARTS if STARTS in names_in(run / MINIMA) else None
    config.minima = [str(run / MINIMA)]


def adopt_runs(
    config: "DictConfig",
    runs: list[Path],
    touched: set[str],
    read: Read,
    identity: Identity,
    by: str = "minima",
) -> tuple[str, ...]:
    """The landscape of runs, which must be one and the same, and that of the command line where it
    sets one; gives what is to be said of runs whose landscape has changed since. `by`: the key
    that names them."""
    theirs = config_of(_finished(runs[0], by), read)
    others = touched - {f"landscape.{RATE}"}
    words = sorted({key.split(".")[0] for key in others} & set(SOURCES))
    if words and without_rate(identity(config)) != without_rate(identity(theirs)):
        raise UserError(
            f"{', '.join(words)}: another landscape than that of {by}={runs[0]}; leave it "
            f"out, or train one"
        )
    for run in runs[1:]:
        if without_rate(identity(config_of(_finished(run, by), read))) != without_rate(
            identity(theirs)
        ):
            raise UserError(
                f"{by}: {run} is of another landscape than {runs[0]}; take them one at a time"
            )
    notes = list(_take(config, theirs, touched))
    for run in runs:
        if has_changed(status_of(run)[1], identity(config_of(run, read))):
            notes.append(
                f"warning: the code or the data of the landscape of {run} have been changed "
                f"since; its points are taken as they are"
            )
    return tuple(notes)


def _take(config: "DictConfig", theirs: "DictConfig", touched: set[str]) -> tuple[str, ...]:
    """Have the landscape of another configuration, and its optimiser; gives what is to be said."""
    rate = config.landscape[RATE] if f"landscape.{RATE}" in touched else None
    for key in SOURCES:
        if key in theirs:
            config[key] = theirs[key]
    if rate is not None:
        config.landscape[RATE] = rate
    is_set = any(key.split(".")[0] == "sgd" for key in touched)
    if "autoneb" in config and not is_set:
        return _descend_alike(config, theirs)
    return ()


def _descend_alike(config: "DictConfig", theirs: "DictConfig") -> tuple[str, ...]:
    """Have bands descend by Adam where the networks were trained by it: what SGD does not train it
    does not join."""
    trained = theirs.get("sgd") or {}
    if trained.get("_target_") not in ADAMS:
        return ()
    from omegaconf import OmegaConf

    adams = {name: trained[name] for name in ("learning_rate", "momentum", "beta2", "epsilon")}
    for name, value in {"_target_": ADAMS[0], **adams}.items():
        OmegaConf.update(config, f"sgd.{name}", value, force_add=True)
    return ("bands descend by Adam, which trained these minima; by SGD with sgd=sgd",)


def _minima_of(run: Path) -> Path:
    manifest = status_of(run)[1]
    check_file(run, manifest.get("files", {}))
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
        check_file(run, known, str(file.relative_to(run)))
    return files


def _finished(path: Path, by: str) -> Path:
    """A run directory with minima."""
    status, manifest, _ = status_of(path)
    if status == "damaged":
        raise UserError(f"{by}={path}: {manifest['why']}")
    if MINIMA not in manifest.get("files", {}):
        go_on = pasted(manifest.get("command_line")) or "the same command"
        raise UserError(
            f"{by}={path}: that run is {status} and has no minima yet; go on with {go_on}"
        )
    return path
