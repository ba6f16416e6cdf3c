"""Runs and the units they consist of: directories, identity, checkpoints, resume. No torch at import, no science."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

from sgdtheory.faults import Failure
from sgdtheory.folder import Folder, digest
from sgdtheory.measured import Results

CHECKPOINT_SECONDS = 5.0  # at most this much work is lost to kill -9
PROGRESS_SECONDS = 0.2


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGUSR1 was caught, and everything so far is kept."""


class Unit(NamedTuple):
    """The smallest piece of work that can be done again alone; its identity is the hash of what it computes."""

    name: str
    science: Mapping[str, Any]

    @property
    def hash(self) -> str:
        return digest(self.science)[:16]


class Estimate(NamedTuple):
    """What one unit is going to cost: seconds, bytes of memory at the peak, bytes on disk."""

    seconds: float
    memory: float
    disk: float


class Pipeline(Protocol):
    """train, connect, sweep-temperature, and every study."""

    def units(self, run: "Run") -> list[Unit]:
        """The units known so far; asked again when these have finished. Those already finished stay in the list."""
        ...

    def do(self, unit: Unit, folder: "UnitFolder") -> None:
        """From the newest state in the folder to the unit's result, by `folder.finish`."""
        ...

    def finish(self, run: "Run") -> Results:
        """Tables and claims, from finished units alone."""
        ...

    def estimate(self, unit: Unit) -> Estimate:
        """What a unit costs, from a short measurement."""
        ...


class _Stop:
    """The wish to stop, set by a signal, seen at the next step by whoever keeps the state."""

    requested = False


@contextmanager
def stoppable() -> Iterator[None]:
    """In this block the first SIGINT, SIGTERM or SIGUSR1 asks for a stop at the next step, a second one stops at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if _Stop.requested:
            raise Interrupted
        _Stop.requested = True

    if threading.current_thread() is not threading.main_thread():  # a notebook's or a server's thread has no signals
        yield
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        _Stop.requested = False
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_if_asked() -> None:
    """Raise Interrupted when a signal has asked for it: called between units and wherever state is safe on disk."""
    if _Stop.requested:
        raise Interrupted


@dataclass(frozen=True)
class UnitFolder(Folder):
    """The directory of one unit: whoever runs it reads the newest state from here."""

    unit: Unit
    _times: dict[str, float] = field(default_factory=dict, compare=False)
    _kept: list[dict[str, Any]] = field(default_factory=list, compare=False)

    @property
    def status(self) -> dict[str, Any]:
        """{"status": "missing" | "running" | "unfinished" | "done" | "failed", …}."""
        found: dict[str, Any] = self.read_json("status.json", {"status": "missing"})
        if found["status"] == "running" and not self.is_locked():
            found["status"] = "unfinished"
        return found

    @property
    def result(self) -> dict[str, Any] | None:
        """The unit's result when it is done, else None."""
        if self.status["status"] != "done":
            return None
        found: dict[str, Any] | None = self.read_json("result.json")
        if found is None or found.get("unit") != self.unit.hash:
            raise Failure(f"{self.path / 'result.json'} is missing or belongs to another unit: delete {self.path}")
        return found

    def clouds(self) -> dict[str, Any]:
        """The tensors of a finished unit, checked against the digest in its result."""
        result = self.result
        if result is None:
            raise Failure(f"{self.unit.name} is not finished: {self.path}")
        return self.read_tensors("result.safetensors", result["sha256"])

    # what a pipeline's `do` uses

    def resume(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The newest state (tensors, facts), or None at the beginning; rows logged after it are forgotten."""
        found = self.read_stamped("state.safetensors")
        if found is None:
            (self.path / "metrics.jsonl").unlink(missing_ok=True)
            return None
        tensors, facts = found
        if facts.pop("unit") != self.unit.hash:
            raise Failure(f"{self.path / 'state.safetensors'} belongs to another unit: delete it to start this one again")
        rows = self.rows("metrics.jsonl")[: facts.pop("rows")]
        self.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        return tensors, facts

    def log(self, **row: Any) -> None:
        """One row of metrics; it reaches the disk with the next `keep`, in the order of the calls."""
        self._kept.append(row)

    def keep(self, state: Callable[[], tuple[Mapping[str, Any], Mapping[str, Any]]], done: float, what: str = "") -> None:
        """Call after every step: tells progress (`done` in 0 … 1), saves the state now and then, and stops when asked.

        `state` gives (tensors, facts) enough to resume from exactly; it is called only when it is going to be written.
        """
        now = time.monotonic()
        last = self._times.setdefault("state", now)
        if now - self._times.get("progress", 0.0) > PROGRESS_SECONDS:
            self._times["progress"] = now
            self.tell(done, what)
        if now - last > CHECKPOINT_SECONDS or _Stop.requested:
            self.save(*state())
            self._times["state"] = now
            stop_if_asked()

    def save(self, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Keep a state now, e.g. at the end of a stage. Metrics first: rows beyond the state are cut when it is read."""
        self.append("metrics.jsonl", self._kept)
        self._kept.clear()
        rows = len(self.rows("metrics.jsonl"))
        self.write_tensors("state.safetensors", tensors, {**facts, "unit": self.unit.hash, "rows": rows})

    def end_stage(self, name: str, cloud: Any) -> None:
        """Keep the last cloud of a stage, so that the next one begins there after an interruption."""
        self.save({}, {"stage": f"after {name}", "step": 0})
        self.write_tensors(f"stage-{name}.safetensors", {"cloud": cloud}, {"unit": self.unit.hash})

    def stage(self, name: str) -> Any:
        """The last cloud of a finished stage, else None."""
        found = self.read_stamped(f"stage-{name}.safetensors")
        if found is None:
            return None
        if found[1]["unit"] != self.unit.hash:
            raise Failure(f"{self.path / f'stage-{name}.safetensors'} belongs to another unit: delete it")
        return found[0]["cloud"]

    def tell(self, done: float, what: str = "") -> None:
        """How far this unit is, for whoever watches; not worth an fsync."""
        temporary = self.path / f".progress.{os.getpid()}"
        temporary.write_text(json.dumps({"done": done, "what": what}))
        temporary.replace(self.path / ".progress")

    @property
    def progress(self) -> tuple[float, str]:
        """(fraction done, what it is doing)."""
        try:
            found = json.loads((self.path / ".progress").read_text())
        except (OSError, ValueError):
            return 0.0, ""
        return found["done"], found["what"]

    def finish(self, result: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        """Keep the result: tensors, then the numbers that vouch for them; the state is no longer needed."""
        if self._kept:
            self.append("metrics.jsonl", self._kept)
            self._kept.clear()
        sha256 = self.write_tensors("result.safetensors", tensors)
        self.write_json("result.json", {**result, "unit": self.unit.hash, "sha256": sha256})
        for name in ("state.safetensors", *(path.name for path in self.path.glob("stage-*.safetensors"))):
            (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Run(Folder):
    """The directory of one command: `runs/<command>/<name>-<hash8>/`."""

    root: Path  # run.root, where finished units and earlier runs are looked for
    units_root: Path
    science: Mapping[str, Any]  # the resolved configuration that the pipeline reads, as plain data

    @property
    def hash(self) -> str:
        return digest(self.science)

    @property
    def manifest(self) -> dict[str, Any]:
        return self.read_json("manifest.json", {})  # type: ignore[no-any-return]

    def note(self, **facts: Any) -> None:
        """Write facts into the manifest."""
        self.write_json("manifest.json", {**self.manifest, **facts})

    def folder(self, unit: Unit) -> UnitFolder:
        return UnitFolder(self.units_root / unit.hash, unit)

    def status_of_units(self, units: list[Unit]) -> list[dict[str, Any]]:
        """One row a unit, as in units.json."""
        rows = []
        for unit in units:
            folder = self.folder(unit)
            where = os.path.relpath(folder.path, self.path)
            rows.append({"name": unit.name, "hash": unit.hash, "directory": where, **folder.status})
        return rows

    def result(self, unit: Unit) -> dict[str, Any] | None:
        return self.folder(unit).result


def status_of(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """(status, manifest, rows of units.json) of a run directory, with what is true now rather than when it was written."""
    folder = Folder(path)
    manifest = folder.read_json("manifest.json", {})
    status = manifest.get("status", "missing")
    if status == "running" and not folder.is_locked():
        status = "interrupted"
    rows = folder.read_json("units.json", [])
    for row in rows:
        unit = Folder(path / row["directory"])
        now = unit.read_json("status.json", {"status": "missing"})
        row.update(now)
        if now["status"] == "running" and not unit.is_locked():
            row["status"] = "unfinished"
    return status, manifest, rows


def runs_under(root: Path, command: str = "*") -> list[Path]:
    """All run directories under `run.root`, the newest last."""
    found = [manifest.parent for manifest in root.glob(f"{command}/*/manifest.json")]
    return sorted(found, key=lambda path: ((path / "manifest.json").stat().st_mtime, path.name))
