"""A run directory as the task and the run that it is of."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sgdtheory.commandline.composer import trust_packages
from sgdtheory.commandline.earlier import own_points
from sgdtheory.commandline.minima_runs import own_files
from sgdtheory.commandline.start import own_start
from sgdtheory.commandline.stored import read_whole, usual_settings
from sgdtheory.commandline.strangers import science_of
from sgdtheory.commandline.task import task
from sgdtheory.errors import UserError
from sgdtheory.runs.configuration import refuse_edited
from sgdtheory.runs.folder import beside
from sgdtheory.runs.foreign import held
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import Run, changed_since
from sgdtheory.runs.task import Task

PATHS = ("data.path", "data.root")  # keys of a configuration that name files, besides minima


def load(path: Path, trust: tuple[str, ...] = (), device: str = "auto") -> tuple[Task, Run]:
    """The task and the run that a run directory holds; refuses a configuration that was edited
    since.

    Files that the configuration names are looked for where the run was made, then here. The points
    that it was given a run keeps itself, once it has results.
    """
    manifest = Run(path, path, path, {}).manifest
    if not manifest:
        raise UserError(f"{path} is no run directory: it has no manifest.json")
    if wrong := [
        key
        for key in ("command", "root", "units_root", "config_hash")
        if not isinstance(manifest.get(key), str)
    ]:
        raise UserError(
            f"{path / 'manifest.json'} is no manifest of a run: it does not say its {wrong[0]}"
        )
    trust_packages(trust)
    refuse_edited(path, manifest)
    try:
        whole = read_whole(held(path, "config.yaml"))
    except FileNotFoundError:
        raise UserError(f"{path}: no config.yaml is there: put it back") from None
    cfg: Any = OmegaConf.merge(
        usual_settings(), science_of(whole, str(path / "config.yaml")), {"device": device}
    )
    root = whole["run"].get("root") if isinstance(whole.get("run"), dict) else None
    _placed(cfg, path, manifest, Path(str(root or "runs")))
    own_files(cfg, path)
    own_points(cfg, path, manifest)
    own_start(cfg, path, manifest)
    try:
        found = task(manifest["command"], cfg, trust)
    except UserError as mistake:
        raise UserError(f"{path}: {mistake}") from None
    run = Run(
        path, beside(path, manifest["root"]), beside(path, manifest["units_root"]), found.science
    )
    if run.hash != manifest["config_hash"]:
        if manifest.get("landscape") not in (None, found.ground):
            raise UserError(changed_since(path))
        raise UserError(
            f"{path}: {_suspects(manifest)} was changed since the run began: put it back, or give "
            f"{path / 'config.yaml'} to --from for a new run"
        )
    return found, run


def _suspects(manifest: Json) -> str:
    """What may have been changed where a run is another one now."""
    packages = list(manifest.get("trust", []))
    suspects = [f"the code of {package}" for package in packages or ["sgdtheory"]]
    if "config_sha256" not in manifest:  # of an older version: the file cannot be ruled out
        suspects.insert(0, "config.yaml")
    return ", or ".join(suspects)


def _placed(cfg: DictConfig, path: Path, manifest: Json, root: Path) -> None:
    """Have the relative paths of a run's configuration lead to their files, wherever they are read
    from; `root` is where the run was kept, as seen from where it was made."""
    home = (path / manifest["root"]).resolve()
    above = [home, *home.parents]  # the run was made where run.root leads to its home
    made_in = next((folder for folder in above if (folder / root).resolve() == home), None)
    for key in PATHS:
        value = OmegaConf.select(cfg, key, throw_on_missing=False)
        if isinstance(value, str):
            OmegaConf.update(cfg, key, _found(value, made_in))
    if isinstance(cfg.get("start"), str):  # a study may have a start that is no file
        file, at, step = str(cfg.start).rpartition("@")
        cfg.start = f"{_found(file, made_in)}{at}{step}"
    if cfg.get("minima") is not None and not isinstance(cfg.minima, int):
        files = [cfg.minima] if isinstance(cfg.minima, str) else cfg.minima
        cfg.minima = [_found(str(file), made_in) for file in files]


def _found(name: str, made_in: Path | None) -> str:
    """A path where it leads to something: as seen from where the run was made, else from here."""
    if made_in is not None and not Path(name).is_absolute() and (made_in / name).exists():
        return str(made_in / name)
    return name
