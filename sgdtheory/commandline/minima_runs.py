"""The runs that points can be taken from: their landscapes, and the newest that fits."""

import hashlib
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sgdtheory.errors import RunError, UserError
from sgdtheory.report.stdio import paste
from sgdtheory.runs.configuration import refuse_edited
from sgdtheory.runs.digests import digest
from sgdtheory.runs.foreign import held
from sgdtheory.runs.plain import Facts, Json
from sgdtheory.runs.run import EXAMPLES, GIVEN_POINTS, results_of, runs_under, status_of
from sgdtheory.statistics.numbers import duration, in_short
from sgdtheory.statistics.rows import error_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

RATE = "learning_rate"  # of a landscape: what auto means on it
MINIMA = "minima.safetensors"
# a configuration → its landscape as plain data, None where it has none
Identity: TypeAlias = "Callable[[DictConfig], Json | None]"
Read: TypeAlias = "Callable[[Path], DictConfig]"  # the configuration in a file


class Newest(NamedTuple):
    """The run that was found, and what is to be said of it and of newer ones."""

    run: Path | None
    notes: tuple[str, ...]


def config_of(run: Path, read: Read) -> "DictConfig":
    """The configuration of a run; UserError where it was edited since."""
    refuse_edited(run, status_of(run)[1])
    try:
        config = read(held(run, "config.yaml"))
    except FileNotFoundError:
        raise UserError(f"{run} has no config.yaml: put it back") from None
    own_files(config, run)
    return config


def own_files(config: MutableMapping[Any, Any], run: Path) -> None:
    """Have the configuration of a run from Python find its data and the points that it was given
    in the run, wherever that is."""
    data = config.get("data")
    if isinstance(data, MutableMapping) and _is_own(data.get("path"), run / EXAMPLES):
        data["path"] = str(run / EXAMPLES)
    minima = config.get("minima")
    if isinstance(minima, Sequence) and len(minima) == 1 and _is_own(minima[0], run / GIVEN_POINTS):
        config["minima"] = [str(run / GIVEN_POINTS)]


def _is_own(name: object, own: Path) -> bool:
    """Whether a configuration names a file that its run keeps, wherever both were then."""
    return isinstance(name, str) and Path(name).name == own.name and own.is_file()


def without_rate(landscape: object) -> object:
    """A landscape as plain data without the learning rate that is `auto` on it."""
    if not isinstance(landscape, Mapping):
        return landscape
    return {key: value for key, value in landscape.items() if key != RATE}


def digest_of_landscape(landscape: object) -> str:
    """The digest of a landscape given as plain data, by which a run knows the one that it was made
    on."""
    return digest(without_rate(landscape))


def has_changed(manifest: Facts, landscape: Json | None) -> bool:
    """Whether a run was made on another landscape than its configuration means now."""
    known = manifest.get("landscape")
    return landscape is not None and known not in (None, digest_of_landscape(landscape))


def newest_run(root: Path, read: Read, landscape: object, identity: Identity) -> Newest:
    """The newest finished train run of the same landscape with two different minima."""
    notes: list[str] = []
    other = ""
    for path in reversed(runs_under(root, "train")):
        status, manifest, _ = status_of(path)
        if status == "damaged":
            notes.insert(0, f"{path} is passed over: {manifest['why']}")
            continue
        try:
            refuse_edited(path, manifest)
        except UserError as fault:
            notes.insert(0, f"{path} is passed over: {fault}")
            continue
        try:
            theirs = identity(config_of(path, read))
        except (UserError, RunError):  # its package is not trusted: another landscape
            continue
        if without_rate(theirs) != landscape:
            if status == "done" and not other:
                taken = paste([f"minima={path}"])
                other = f"{path} is of another landscape; {taken} takes its minima"
            continue
        unfit = _why_unfit(path, status, manifest, theirs)
        if not unfit:
            chosen = f"minima of {path}: {_described(path, manifest)}"
            newer = [note.replace(OF_THIS, "is newer") for note in notes]
            return Newest(path, (chosen, *newer))
        notes.insert(0, f"{path} {OF_THIS}, but {unfit}")
    if other:
        notes.append(other)
    return Newest(None, tuple(notes))


OF_THIS = "is of this landscape"


def _why_unfit(run: Path, status: str, manifest: Json, landscape: Json | None) -> str:
    """Why the minima of a run are not taken; empty where they are."""
    if status != "done" or MINIMA not in manifest.get("files", {}):
        why = manifest.get("why")
        return f"{status} ({shorten(why, 100, placeholder=' …')})" if why else status
    if has_changed(manifest, landscape):
        return "the code or the data of its landscape have been changed since"
    return _why_no_ends(run)


def _why_no_ends(run: Path) -> str:
    """Why the minima of a run are no two points; empty where they are. Rounding counts: on a
    formula a minimum is often found twice."""
    import numpy as np
    from safetensors.numpy import load

    try:
        check_file(run, status_of(run)[1]["files"])
        results = results_of(run)
    except RunError as fault:
        return str(fault).removeprefix(f"{run}/")
    cloud = load((run / MINIMA).read_bytes())["minima"].astype(np.float64)
    scored = any(row.get("test_loss") is not None for row in results.get("minima", []))
    near = 0.0 if scored else 1e-6 * (1 + float(np.linalg.norm(cloud[0])))
    several = bool((np.linalg.norm(cloud - cloud[:1], axis=1) > near).any())
    return "" if several else "found one point alone, and a path has two ends"


def _described(run: Path, manifest: Facts) -> str:
    """4 minima, training error up to 1.2 %, 5 min ago"""
    results = results_of(run)
    rows = results.get("minima", [])
    parts = [f"{len(rows)} {'minimum' if len(rows) == 1 else 'minima'}"]
    errors = [row["train_error"] for row in rows if row.get("train_error") is not None]
    if errors:
        largest = max(errors)
        up_to = "up to " if len(errors) > 1 and largest else ""
        parts.append(f"training {error_of(results)} {up_to}{in_short(100 * largest)} %")
    if manifest.get("finished"):
        age = max(0.0, time.time() - manifest["finished"])
        parts.append(f"{duration(age)} ago")
    return ", ".join(parts)


def check_file(run: Path, files: Facts, name: str = MINIMA) -> None:
    """Whether a file of minima or of a path is the one that the run wrote."""
    path = run / name
    try:
        with held(run, name).open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as fault:
        raise RunError(f"{path} cannot be read ({fault.strerror})") from None
    if sha256 != files.get(name):
        raise RunError(
            f"{path} is not the file that its run wrote (checksums differ): run that command again"
        )
