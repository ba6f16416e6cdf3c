"""A run: the directory of one command, and what is true of it now. No torch at import."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from sgdtheory.errors import UserError
from sgdtheory.runs.digests import digest, sha256_of
from sgdtheory.runs.folder import UNDO, CorruptFile, Folder, beside
from sgdtheory.runs.foreign import held
from sgdtheory.runs.plain import Facts, Json
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder, status_of_unit

if TYPE_CHECKING:
    # and with it numpy, which takes as long as all of `status`
    from sgdtheory.statistics.measured import Results

# what a run from Python keeps of its data, and the points that it was given
EXAMPLES, GIVEN_POINTS = "examples.safetensors", "given_points.safetensors"
# in a manifest
TEXTS, NUMBERS = ("status", "why", "command", "command_line"), ("started", "finished", "seconds")
UNIT = ("name", "hash", "directory")  # of a row of units.json
# where they may be said to lie
UNITS = re.compile(r"(?:\.\./){0,2}[\w-]{1,100}(?:/[\w-]{1,100})?", re.ASCII)


class Pipeline(Protocol):
    """train, connect, sweep-temperature, and every study."""

    def units(self, run: "Run") -> list[Unit]:
        """The units known so far; asked again when these have finished. Those already finished stay
        in the list."""
        ...

    def finish(self, run: "Run") -> "Results":
        """Tables and claims, from finished units alone."""
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """A pipeline that has read files, whose content is part of what a run is."""

    def identity(self, science: Facts) -> Facts:
        """The configuration with content in the place of paths."""
        ...


def identity_of(pipeline: Pipeline, science: Json) -> Json:
    """What a run of a pipeline is known by: its configuration, with the content of what it has read
    in the place of paths."""
    if isinstance(pipeline, ReadsFiles):
        return dict(pipeline.identity(science))
    return science


@runtime_checkable
class PlansUnits(Protocol):
    """A pipeline whose units cost differently, or are not all known at the beginning."""

    def plan(self, run: "Run", pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """The names and costs of the units to come."""
        ...


@runtime_checkable
class ForeseesUnits(Protocol):
    """A pipeline that knows of units which it will ask for later."""

    def to_come(self, run: "Run") -> list[str]:
        """The names of units that are not asked for yet."""
        ...


@runtime_checkable
class LeavesOut(Protocol):
    """A pipeline whose plan does not count all that may have to be done."""

    @property
    def not_counted(self) -> str:
        """What that is, in words; empty where it is nothing."""
        ...


def to_come(pipeline: Pipeline, run: "Run") -> list[str]:
    """The names of the units that a pipeline will ask for later, as far as they are known."""
    return pipeline.to_come(run) if isinstance(pipeline, ForeseesUnits) else []


@dataclass(frozen=True)
class Run(Folder):
    """The directory of one command: `runs/<command>/<name>-<hash8>/`."""

    root: Path  # run.root, where finished units and earlier runs are looked for
    units_root: Path
    science: Facts  # the resolved configuration that the pipeline reads, as plain data

    @property
    def hash(self) -> str:
        return digest(self.science)

    @property
    def manifest(self) -> Json:
        return self.read_object("manifest.json")

    def note(self, **facts: object) -> None:
        """Write facts into the manifest."""
        self.write_json("manifest.json", {**self.manifest, **facts})

    def is_whole(self) -> bool:
        """Whether every file that the manifest vouches for is there; CorruptFile when one is not
        what was written."""
        for name, sha256 in self.manifest.get("files", {}).items():
            if not (self.path / name).exists():
                return False
            self.read_bytes(name, sha256)
        return True

    def folder(self, unit: Unit) -> UnitFolder:
        return UnitFolder(self.units_root / unit.hash, unit)

    def status_of_units(self, units: list[Unit]) -> list[Json]:
        """One row a unit, as in units.json."""
        rows = []
        for unit in units:
            folder = self.folder(unit)
            where = os.path.relpath(folder.path, self.path)
            rows.append({"name": unit.name, "hash": unit.hash, "directory": where, **folder.status})
        return rows

    def result(self, unit: Unit) -> Json | None:
        return self.folder(unit).result


class RunState(NamedTuple):
    """What is true of a run directory now, rather than when it was written."""

    status: str
    manifest: Json
    units: list[Json]  # the rows of units.json


def status_of(path: Path) -> RunState:
    """The state of a run directory.

    Of files that are damaged, the status is so, and `why` in the manifest says which one.

    """
    folder = Folder(path)
    try:
        manifest = _manifest_of(folder)
        is_over = manifest.get("status") == "done"
        units = [_unit_now(path, row, is_over) for row in folder.read_list("units.json")]
    except (CorruptFile, UserError) as fault:
        return RunState("damaged", {"why": str(fault)}, [])
    return RunState(manifest.get("status", "missing"), manifest, units)


def _manifest_of(folder: Folder) -> Json:
    manifest = folder.read_object("manifest.json")
    texts = dict.fromkeys(TEXTS, str)
    numbers = dict.fromkeys(NUMBERS, int | float)
    kinds = {**texts, **numbers, "files": dict, "overrides": list}
    for name, kind in kinds.items():
        if name in manifest and not isinstance(manifest[name], kind):
            raise CorruptFile(
                f"{folder.path / 'manifest.json'} is damaged ({name} is "
                f"{manifest[name]!r:.40}): {UNDO}"
            )
    if manifest.get("status") == "running" and not folder.is_locked():
        manifest = folder.read_object("manifest.json")  # it may have ended between the two looks
        if manifest.get("status") == "running":
            manifest["status"] = "interrupted"
    return manifest


def _unit_now(path: Path, row: Json, is_over: bool) -> Json:
    """A row of units.json as it is now; of a finished run that was copied without its units, as it
    was written."""
    known = {key: row[key] for key in UNIT if isinstance(row.get(key), str)}
    if len(known) < len(UNIT) or not UNITS.fullmatch(known["directory"]):
        raise CorruptFile(f"{path / 'units.json'} is damaged (it names no units): {UNDO}")
    folder = Folder(beside(path, known["directory"]))
    try:
        now = status_of_unit(folder)
    except CorruptFile as fault:
        return {**known, "status": "damaged", "why": str(fault)}
    if is_over and now["status"] == "missing" and not folder.path.is_dir():
        return {**row, "elsewhere": True}
    return known | now


def results_of(path: Path, manifest: Facts | None = None) -> Json:
    """What a run has found, nothing where it has no results; CorruptFile where they are not what it
    wrote."""
    folder, manifest = (
        Folder(path),
        manifest if manifest is not None else Folder(path).read_object("manifest.json"),
    )
    demand_as_written(path, ("results.json",), manifest)
    return folder.read_object("results.json")


def demand_as_written(path: Path, names: Iterable[str], manifest: Facts | None = None) -> None:
    """Raise CorruptFile where one of these files of a run is there and is not what the run
    wrote."""
    folder = Folder(path)
    files = (folder.read_object("manifest.json") if manifest is None else manifest).get("files", {})
    for name in names:
        with suppress(FileNotFoundError):
            if name in files:
                held(path, name)  # one that is not there is no fault here
                folder.read_bytes(name, files[name])


def runs_under(root: Path, command: str = "*") -> list[Path]:
    """All run directories under `run.root`, the newest last."""
    found = [
        (_moment(manifest), manifest.parent.name, manifest.parent)
        for manifest in root.glob(f"{command}/*/manifest.json")
    ]
    return [path for _, _, path in sorted(found)]


def _moment(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # a link that leads nowhere, or deleted just now
        return 0.0


def changed_since(run: Path) -> str:
    """What is said of a run whose landscape is another one now, by the same configuration."""
    return (
        f"{run}: the code or the data of its landscape have been changed since: put them "
        f"back, or make a run anew"
    )


def finished_run(root: Path, command: str, config: str) -> Run | None:
    """The finished, whole run of a command whose config.yaml is this text, and that read nothing
    else which decides what is computed; None where there is none, or it cannot be told."""
    known = sha256_of(config)
    for path in runs_under(root, command):
        with suppress(CorruptFile, UserError, OSError):
            run = Run(path, root, root / "units", {})
            asked = {"status": "done", "is_closed": True, "config_sha256": known}
            if asked.items() <= run.manifest.items() and run.is_whole():
                run.read_bytes("config.yaml", known)
                return run
    return None
