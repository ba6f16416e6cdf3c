"""Points that one has: an earlier run, and with it its landscape, model and data; or files."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sgdtheory.commandline.conflicts import SOURCES, agreed, differences
from sgdtheory.commandline.minima_runs import (
    MINIMA,
    Identity,
    Read,
    check_file,
    config_of,
    has_changed,
    newest_run,
    without_rate,
)
from sgdtheory.commandline.named_points import Named, named_points
from sgdtheory.commandline.stored import Unnamed
from sgdtheory.errors import UserError
from sgdtheory.pipelines.checkpoints.files import places
from sgdtheory.pipelines.checkpoints.reading import names_in
from sgdtheory.pipelines.minima_file import STARTS
from sgdtheory.report.stdio import pasted
from sgdtheory.runs.plain import Facts, Json
from sgdtheory.runs.run import demand_as_written, status_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

ADAMS = ("sgdtheory.optim.adam.Adam", "sgdtheory.optim.adamw.AdamW")


def adopt(
    config: "DictConfig",
    touched: Iterable[str],
    read: Read,
    identity: Identity,
    newest: bool,
) -> tuple[str, ...]:
    """Resolve `minima` of a configuration, in place: runs, files, folders, globs, or null where
    there is a fitting run, become the files that hold points; where a run or a file of one is
    among them, the landscape becomes the run's. Gives what is to be said of a choice that nobody
    made.

    `newest`: whether null may mean the newest train run; a sweep finds its own minimum instead.
    `touched`: keys that the command line sets; what conflicts with the run's landscape is a
    UserError. A configuration of an earlier run, which names files of runs by itself, keeps its
    own landscape, which must be theirs. A learning rate is no part of a landscape:
    `landscape.learning_rate` may be another one than the run's.
    """
    keys = set(touched)
    if config.get("minima") is None:
        return _adopt_newest(config, keys, read, identity) if newest else ()
    named = [named_points(path) for word in _words(config.minima) for path in places(word)]
    is_typed = "minima" in keys
    runs = [one.run for one in named if one.run is not None and (is_typed or one.is_run)]
    notes: tuple[str, ...] = ()
    try:
        if runs:
            notes = adopt_runs(config, list(dict.fromkeys(runs)), keys, read, identity)
    except Unnamed as fault:
        raise UserError(
            f"{fault}; a copy of its {MINIMA} elsewhere is read on the landscape that is given"
        ) from None
    for one in named:
        if one.run not in runs:
            one.demand_landscape(config, read, identity)
    files = []
    for one in named:
        files += _files_of(one, is_typed, on_paths=config.get("at") is not None)
    config.minima = [str(file) for file in files]
    return notes


def _files_of(one: Named, is_typed: bool, on_paths: bool) -> list[Path]:
    """The files that are read of what was named; those of runs must be as they were written."""
    if one.run is None:
        return [one.path]
    if one.is_run and on_paths:
        return _paths_of(one.run)
    if one.is_run or (is_typed and one.path.name == MINIMA):
        return [_minima_of(one.run)]
    if is_typed:
        name = one.path.absolute().relative_to(one.run.absolute()).as_posix()
        check_file(one.run, status_of(one.run)[1].get("files", {}), name)
    return [one.path]


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
        theirs, _ = agreed(config, config_of(run, read), touched, identity)
        notes = (*notes, *_take(config, theirs, touched))
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
    found = []
    for run in runs:
        found.append(_run_for(config, run, touched, read, identity, by))
    first = found[0]
    changed = []
    for run, (_, landscape) in zip(runs, found, strict=True):
        if without_rate(landscape) != without_rate(first.landscape):
            raise UserError(
                f"{by}: {run} is of another landscape than {runs[0]} "
                f"({differences(landscape, first.landscape)}); take them one at a time"
            )
        if has_changed(status_of(run)[1], landscape):
            changed.append(
                f"warning: the code or the data of the landscape of {run} have been changed "
                f"since; its points are taken as they are"
            )
    return (*_take(config, first.config, touched), *changed)


class _Adopted(NamedTuple):
    """A run's configuration with what was typed and agrees, and its landscape as plain data."""

    config: "DictConfig"
    landscape: Json | None


def _run_for(
    config: "DictConfig",
    run: Path,
    touched: set[str],
    read: Read,
    identity: Identity,
    by: str,
) -> _Adopted:
    """A finished run, where nothing that was typed conflicts with it."""
    theirs = config_of(_finished(run, by), read)
    known = status_of(run)[1].get("landscape")
    own, conflicts = agreed(config, theirs, touched, identity, known)
    if conflicts:
        raise UserError(
            f"{', '.join(conflicts)}: another landscape than that of {by}={run}; leave it "
            f"out, or train one"
        )
    return _Adopted(own, identity(own))


def _take(config: "DictConfig", theirs: "DictConfig", touched: set[str]) -> tuple[str, ...]:
    """Have the landscape of another configuration, and its optimiser; gives what is to be said."""
    for key in SOURCES:
        if key in theirs:
            config[key] = theirs[key]
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
        if status == "failed":
            go_on += " --retry-failed"
        raise UserError(
            f"{by}={path}: that run is {status} and has no minima yet; go on with {go_on}"
        )
    return path
