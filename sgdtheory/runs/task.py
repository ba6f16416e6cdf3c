"""One checked command: its pipeline, where its run is kept, and who does its units."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

from sgdtheory.annotations import Place, PlacePath, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.runs.digests import digest
from sgdtheory.runs.plain import Json
from sgdtheory.runs.run import Pipeline, Run
from sgdtheory.runs.unit import Unit

WORKER = "sgdtheory.commandline.worker"  # the module that a process runs to do a run's units
JOB = "sgdtheory.commandline.job"  # the module whose `do_share` a job runs
LONGEST_NAME = 100  # of a run: most file systems take 255 bytes


@dataclass(frozen=True)
class Where:
    """The keys `run.*`."""

    root: PlacePath = Path("runs")
    dir: Annotated[Path | None, Place] = None
    name: Annotated[str | None, Place] = None

    def __post_init__(self) -> None:
        name = self.name or "x"
        if (
            "/" in name
            or "\\" in name
            or name.startswith(".")
            or not name.isprintable()
            or len(name) > LONGEST_NAME
        ):
            raise UserError(
                f"run.name={name[:LONGEST_NAME]!r} is no plain name; run.root= and run.dir= "
                f"say where a run is kept"
            )


class Executor(Protocol):
    """Who does the units of a run."""

    def count(self, settings: "Settings") -> int:
        """How many units it does side by side."""
        ...

    def do(self, run: Run, settings: "Settings", pending: list[Unit]) -> None:
        """Have all pending units done or failed, as far as it can be done."""
        ...


@dataclass(frozen=True)
class Settings:
    """Where and how a command runs: nothing here is part of a run's identity."""

    executor: Executor
    device: str = "cpu"
    threads: PositiveInt | None = None
    where: Where = Where()
    trust: tuple[str, ...] = ()  # the command line's: no file has it

    @property
    def units_device(self) -> str:
        """Where units are done: an executor that asks for GPUs has them, whatever this machine
        has."""
        return "cuda" if getattr(self.executor, "gpus", 0) else self.device


class Share(NamedTuple):
    """What one job of a batch system is given of a run: plain values alone, for they are sent."""

    path: str  # of the run
    where: str  # the working directory of the command
    device: str
    threads: int
    trust: tuple[str, ...]
    units: tuple[str, ...]  # their hashes

    @classmethod
    def of(cls, run: Run, settings: "Settings", cpus: int, units: Iterable[Unit]) -> "Share":
        """These units of a run, for a process that has so many cores where no number of threads was
        asked for."""
        return cls(
            path=str(run.path.absolute()),
            where=str(Path.cwd()),
            device=settings.units_device,
            threads=settings.threads or cpus,
            trust=settings.trust,
            units=tuple(unit.hash for unit in units),
        )


class Task(NamedTuple):
    """One checked command, ready to be executed."""

    command: str
    pipeline: Pipeline
    settings: Settings
    # the resolved tree that the pipeline reads, without places: its hash is the run's identity
    science: Json
    yaml: str  # the configuration with its interpolations kept
    trust: tuple[str, ...]
    overrides: tuple[str, ...]
    # digest of the landscape as the sources and the files say it that are there now
    ground: str = ""
    # what is to be said before it begins: what was chosen that nobody named
    notes: tuple[str, ...] = ()
    is_closed: bool = False  # whether `yaml` alone decides what is computed, and no file beside it

    def open(self) -> Run:
        """The run directory that this task belongs to; not yet created."""
        where = self.settings.where
        if where.dir is not None:
            return Run(where.dir, where.root, where.dir / "units", self.science)
        name = where.name or _slug(self.science)
        path = where.root / self.command / f"{name}-{digest(self.science)[:8]}"
        return Run(path, where.root, where.root / "units", self.science)


class Plan(NamedTuple):
    """What a task would do: units, wall-clock seconds, bytes of memory, bytes on disk."""

    path: Path
    units: int
    done: int
    seconds: float
    memory: float
    disk: float
    workers: int
    costs: list[tuple[str, float]]  # names of the units to do, and their seconds
    checks: list[str]  # what landscapes say of themselves
    not_counted: str  # what else may have to be done


def _slug(science: Json) -> str:
    """A readable name for a run: its model and data, or its landscape."""
    landscape = science.get("landscape") or {}
    parts = [
        landscape[key] for key in ("model", "data") if isinstance(landscape.get(key), dict)
    ] or [landscape]
    words = [
        f"{str(part.get('_target_', 'run')).split('.')[-1]}{part.get('depth', '')}"
        for part in parts
    ]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
