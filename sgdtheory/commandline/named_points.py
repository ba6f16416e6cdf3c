"""What a word of `minima` names: a run, a file that a run or a unit of one wrote, or another."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sgdtheory.commandline.conflicts import differences, identity_or_none
from sgdtheory.commandline.minima_runs import (
    MINIMA,
    Identity,
    Read,
    config_of,
    digest_of_landscape,
)
from sgdtheory.errors import RunError, UserError
from sgdtheory.pipelines.checkpoints.files import file_in
from sgdtheory.runs.folder import Folder
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import status_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

MANIFEST = "manifest.json"
CONSTANTS = "constants"  # of a unit's landscape: the digest of those that came with points


class Named(NamedTuple):
    """A run directory or a file, with the run that it is or that wrote it."""

    path: Path
    run: Path | None

    @property
    def is_run(self) -> bool:
        """Whether a whole run was named, and not a file of it."""
        return self.path == self.run

    def demand_landscape(self, config: "DictConfig", read: Read, identity: Identity) -> None:
        """Raise UserError where the run or the unit that wrote a file is known to have another
        landscape than a configuration."""
        if self.run is not None:
            theirs, whose = _landscape_of_run(self.run, read, identity), "run"
            hint = f"minima={self.run} on the command line takes the run's"
        else:
            theirs, whose = _landscape_of_unit(self.path), "unit"
            hint = "say what it was made on by model=, data= and landscape="
        if theirs is None:
            return
        ours = identity_or_none(config, identity)
        if ours is None or digest_of_landscape(ours) == digest_of_landscape(theirs):
            return
        raise UserError(
            f"minima={self.path}: its {whose} has another landscape than this one "
            f"({differences(theirs, ours)}); {hint}"
        )


def named_points(path: Path) -> Named:
    """A run, or a file with the run that wrote it; of a folder that is no run its one file."""
    if (path / MANIFEST).exists():
        return Named(path, path)
    file = file_in(path) if path.is_dir() else path
    seen = file if len(file.parts) > 1 else file.absolute()
    for run in list(seen.parents)[:2]:  # runs keep files beside the manifest, and a folder deeper
        if (run / MANIFEST).exists():
            name = seen.relative_to(run).as_posix()
            if name == MINIMA or name in status_of(run)[1].get("files", {}):
                return Named(file, run)
    return Named(file, None)


def _landscape_of_run(run: Path, read: Read, identity: Identity) -> Json | None:
    """The landscape of a run as plain data; None where it cannot be said."""
    try:
        return identity(config_of(run, read))
    except (UserError, RunError):
        return None


def _landscape_of_unit(file: Path) -> Json | None:
    """The landscape that a unit beside whose facts a file lies was made on, as plain data; None
    where there is none."""
    if not (file.parent / "unit.json").exists():
        return None
    try:
        science = Folder(file.parent).read_object("unit.json").get("science")
    except RunError:
        return None
    landscape = science.get("landscape") if isinstance(science, Mapping) else None
    if not isinstance(landscape, Mapping):
        return None
    return {key: value for key, value in landscape.items() if key != CONSTANTS}
