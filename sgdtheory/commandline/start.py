"""The snapshot that training begins at, and with it its run's landscape, model and data."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sgdtheory.commandline.earlier import adopt_runs
from sgdtheory.commandline.minima_runs import MINIMA, Identity, Read, check_file
from sgdtheory.errors import UserError
from sgdtheory.pipelines.minima_file import STARTS
from sgdtheory.pipelines.start import Snapshot
from sgdtheory.runs.plain import Facts
from sgdtheory.runs.run import status_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

FOLDER = "snapshots"  # of a run: a file a trajectory


def adopt_start(
    config: "DictConfig", touched: Iterable[str], read: Read, identity: Identity
) -> tuple[str, ...]:
    """Resolve `start=RUN@STEP` of a configuration, in place: the file of the run's one trajectory,
    or the one that is named, RUN/snapshots/2.safetensors@STEP; the landscape becomes the run's.
    Gives what is to be said of it.
    """
    word = config.get("start")
    if word is None:
        return ()
    keys = set(touched)
    snapshot = Snapshot.named(str(word))
    if snapshot.step == STARTS and "start" not in keys:
        return ()  # a run that is read again begins at its own
    place = snapshot.file
    run = place if (place / "manifest.json").exists() else place.parent.parent
    status, manifest, _ = status_of(run)
    if status == "missing" or not (run / "manifest.json").exists():
        raise UserError(f"start={word}: no such run; `sgdtheory status` lists the runs")
    notes = adopt_runs(config, [run], keys, read, identity, "start")
    files = manifest.get("files", {})
    file = _trajectory(run, files, word) if place == run else place
    check_file(run, files, str(file.relative_to(run)))
    config.start = f"{file}@{snapshot.step}"
    return notes


def _trajectory(run: Path, files: Facts, word: str) -> Path:
    """The one trajectory of a run."""
    names = sorted(name for name in files if name.startswith(f"{FOLDER}/"))
    if not names:
        raise UserError(f"start={word}: that run kept no snapshots; train it with snapshots=N")
    if len(names) > 1:
        raise UserError(
            f"start={word}: that run has {len(names)} trajectories; name one, as in "
            f"start={run / names[0]}@{Snapshot.named(word).step}"
        )
    return run / names[0]


def own_start(config: "DictConfig", run: Path, manifest: Facts) -> None:
    """Have a run's configuration, read again, begin at the point that the run itself has kept."""
    files = manifest.get("files", {})
    if manifest["command"] != "train" or config.get("start") is None or MINIMA not in files:
        return
    check_file(run, files)
    config.start = f"{run / MINIMA}@{STARTS}"
