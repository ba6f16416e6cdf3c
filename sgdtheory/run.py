"""Runs and the units they consist of: directories, identity, checkpoints, resume. No torch at import, no science."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sgdtheory.faults import Failure, Mistake
from sgdtheory.folder import UNDO, Damaged, Folder, beside, digest, naming, plain, temporary_of
from sgdtheory.foreign import held

if TYPE_CHECKING:
    from sgdtheory.measured import Results  # and with it numpy, which takes as long as all of `status`

CHECKPOINT_SECONDS = 5.0  # at most this much work is lost to kill -9
PROGRESS_SECONDS = 0.2
TEXTS, NUMBERS = ("status", "why", "command", "command_line"), ("started", "finished", "seconds")  # in a manifest
UNIT = ("name", "hash", "directory")  # of a row of units.json
UNITS = re.compile(r"(?:\.\./){0,2}[\w-]{1,100}(?:/[\w-]{1,100})?", re.ASCII)  # where they may be said to lie


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

    def finish(self, run: "Run") -> "Results":
        """Tables and claims, from finished units alone."""
        ...

    def estimate(self, unit: Unit) -> Estimate:
        """What a unit costs, from a short measurement."""
        ...


class Logged(NamedTuple):
    """What a unit had logged when a state of it was kept."""

    rows: int
    rows_sha256: str | None  # None in a state of an older version

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Logged":
        """As the facts of a state have it."""
        return cls(facts["rows"], facts.get("rows_sha256"))


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
    _passed: dict[str, "Logged"] = field(default_factory=dict, compare=False)  # stages so far, and what was logged after each

    @property
    def status(self) -> dict[str, Any]:
        """{"status": "missing" | "running" | "unfinished" | "done" | "failed", …}; none is done without its files."""
        found = status_of_unit(self)
        whole = all((self.path / f"result.{kind}").exists() for kind in ("json", "safetensors"))
        return found if whole or found["status"] != "done" else {**found, "status": "unfinished"}

    @property
    def result(self) -> dict[str, Any] | None:
        """The unit's result when it is done, else None."""
        return self.written() if self.status["status"] == "done" else None

    def written(self) -> dict[str, Any] | None:
        """The result as `finish` has written it, whatever the status says; None when it has not, or not all of it."""
        found: dict[str, Any] | None = self.read_json("result.json")
        if found is None or not (self.path / "result.safetensors").exists():
            return None
        checksum = found.pop("checksum", None)
        if found.get("unit") != self.unit.hash or checksum != digest(found):
            raise Damaged(f"{self.path / 'result.json'} was edited or belongs to another unit: {UNDO}")
        return found

    def clouds(self) -> dict[str, Any]:
        """The tensors of a finished unit, checked against the digest in its result."""
        result = self.result
        if result is None:
            raise Failure(f"{self.unit.name} is not finished: {self.path}")
        return self.read_tensors("result.safetensors", result["sha256"])

    # what a pipeline's `do` uses

    def resume(self, stage: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The newest state of a stage (tensors, facts), None at its beginning; what was kept or logged later is forgotten."""
        state = self._kept_in("state.safetensors")
        if state is not None and state[1]["stage"] != stage:
            state = None
        for path in self.path.glob("stage-*.safetensors"):
            if path.stem.removeprefix("stage-") not in self._passed:
                path.unlink()
        last = max(self._passed.values(), key=lambda logged: logged.rows, default=Logged(0, None))
        self._forget_rows(Logged.of(state[1]) if state is not None else last)
        return state

    def _forget_rows(self, kept: "Logged") -> None:
        """Have the rows of metrics alone that were there when a state was kept; Damaged where they are others now."""
        rows, (count, sha256), where = self.rows("metrics.jsonl"), kept, self.path / "metrics.jsonl"
        if len(rows) < count:
            raise Damaged(f"{where} has {len(rows)} of the {count} rows it had: put it back, or delete {self.path}")
        if sha256 not in (None, digest(rows[:count])):
            raise Damaged(f"{where} is not what this unit wrote (checksums differ): put it back, or delete {self.path}")
        self.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows[:count]))

    def _kept_in(self, name: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """(tensors, facts) of a file that this unit has kept."""
        found = self.read_stamped(name)
        if found is not None and found[1]["unit"] != self.unit.hash:
            raise Damaged(f"{self.path / name} belongs to another unit: {UNDO}")
        return found

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

    def flush(self) -> None:
        """Have the rows that were logged on disk."""
        if self._kept:
            self.append("metrics.jsonl", self._kept)
            self._kept.clear()

    def save(self, tensors: Mapping[str, Any], facts: Mapping[str, Any], name: str = "state.safetensors") -> "Logged":
        """Keep a state now. Metrics first: rows beyond what was kept last are cut when it is read. Gives what there is of
        them, by which the state knows them again."""
        self.flush()
        rows = self.rows("metrics.jsonl")
        kept = Logged(len(rows), digest(rows))
        self.write_tensors(name, tensors, {**facts, "unit": self.unit.hash, **kept._asdict()})
        return kept

    def mark(self, name: str, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Keep where work of several stages stands: what was logged so far stays, whichever stage is the next to resume."""
        self._passed[name] = self.save(tensors, {**facts, "stage": name}, f"stage-{name}.safetensors")

    def marked(self, name: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """(tensors, facts) of a mark, None where there is none."""
        found = self._kept_in(f"stage-{name}.safetensors")
        if found is None:
            return None
        if found[1]["stage"] != name:
            raise Damaged(f"{self.path / f'stage-{name}.safetensors'} is that of {found[1]['stage']}: {UNDO}")
        self._passed[name] = Logged.of(found[1])
        return found

    def end_stage(self, name: str, cloud: Any) -> None:
        """Keep the last cloud of a stage, so that the next one begins there after an interruption."""
        self.mark(name, {"cloud": cloud}, {})
        (self.path / "state.safetensors").unlink(missing_ok=True)

    def stage(self, name: str) -> Any:
        """The last cloud of a finished stage, else None."""
        found = self.marked(name)
        return None if found is None else found[0]["cloud"]

    def keep_snapshot(self, step: int, cloud: Any) -> None:
        """Keep the cloud of a step of the trajectory; one that is passed again after an interruption is the same."""
        self.write_tensors(f"snapshot-{step}.safetensors", {"cloud": cloud}, {"unit": self.unit.hash})

    def snapshot(self, step: int) -> Any:
        """The cloud of a step that was kept."""
        found = self._kept_in(f"snapshot-{step}.safetensors")
        if found is None:
            raise Damaged(f"{self.path / f'snapshot-{step}.safetensors'} is missing: delete {self.path} and run again")
        return found[0]["cloud"]

    def tell(self, done: float, what: str = "") -> None:
        """How far this unit is, for whoever watches; not worth an fsync."""
        self.demand_presence()
        temporary = temporary_of(self.path / ".progress")
        with naming(self.path / ".progress"):
            temporary.write_text(json.dumps({"done": done, "what": what}), encoding="utf-8")
            temporary.replace(self.path / ".progress")

    @property
    def progress(self) -> tuple[float, str]:
        """(fraction done, what it is doing)."""
        try:
            found = json.loads((self.path / ".progress").read_text(encoding="utf-8"))
            return found["done"], found["what"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0, ""

    def finish(self, result: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        """Keep the result: tensors, then the numbers that vouch for them and for themselves."""
        self.flush()
        sha256 = self.write_tensors("result.safetensors", tensors)
        rows = digest(self.rows("metrics.jsonl"))
        found = plain({**result, "unit": self.unit.hash, "sha256": sha256, "rows_sha256": rows})
        self.write_json("result.json", {**found, "checksum": digest(found)})

    def logged(self) -> list[dict[str, Any]]:
        """What was logged on the way to a result; Damaged where it was changed since."""
        known, rows = (self.result or {}).get("rows_sha256"), self.rows("metrics.jsonl")
        if known not in (None, digest(rows)):
            raise Damaged(f"{self.path / 'metrics.jsonl'} is not what this unit wrote (checksums differ): {UNDO}")
        return rows

    def forget_states(self) -> None:
        """Delete what only an unfinished unit needs."""
        for path in (
            self.path / "state.safetensors",
            *self.path.glob("stage-*.safetensors"),
            *self.path.glob("snapshot-*.safetensors"),
        ):
            path.unlink(missing_ok=True)

    def pardon(self) -> None:
        """Count as unfinished instead of failed; what it has cost stays."""
        kept = {key: value for key, value in self.status.items() if key != "why"}
        self.write_json("status.json", {**kept, "status": "unfinished"})


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
        return self.read_object("manifest.json")

    def note(self, **facts: Any) -> None:
        """Write facts into the manifest."""
        self.write_json("manifest.json", {**self.manifest, **facts})

    def is_whole(self) -> bool:
        """Whether every file that the manifest vouches for is there; Damaged when one is not what was written."""
        for name, sha256 in self.manifest.get("files", {}).items():
            if not (self.path / name).exists():
                return False
            self.read_bytes(name, sha256)
        return True

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


def status_of_unit(folder: Folder) -> dict[str, Any]:
    """What status.json says, made true: nobody runs a unit that is not locked."""
    found = folder.read_object("status.json")
    found.setdefault("status", "missing")
    if found["status"] == "running" and not folder.is_locked():
        found = {**found, **folder.read_object("status.json")}  # it may have ended between the two looks
        found["status"] = "unfinished" if found["status"] == "running" else found["status"]
    return found


def status_of(path: Path) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """(status, manifest, rows of units.json) of a run directory, with what is true now rather than when it was written.

    Of files that are damaged, the status is so, and `why` in the manifest says which one.
    """
    folder = Folder(path)
    try:
        manifest = _manifest_of(folder)
        is_over = manifest.get("status") == "done"
        units = [_unit_now(path, row, is_over) for row in folder.read_list("units.json")]
    except (Damaged, Mistake) as fault:
        return "damaged", {"why": str(fault)}, []
    return manifest.get("status", "missing"), manifest, units


def _manifest_of(folder: Folder) -> dict[str, Any]:
    manifest = folder.read_object("manifest.json")
    kinds = {**dict.fromkeys(TEXTS, str), **dict.fromkeys(NUMBERS, int | float), "files": dict}
    for name, kind in kinds.items():
        if name in manifest and not isinstance(manifest[name], kind):
            raise Damaged(f"{folder.path / 'manifest.json'} is damaged ({name} is {manifest[name]!r:.40}): {UNDO}")
    if manifest.get("status") == "running" and not folder.is_locked():
        manifest = folder.read_object("manifest.json")  # it may have ended between the two looks
        if manifest.get("status") == "running":
            manifest["status"] = "interrupted"
    return manifest


def _unit_now(path: Path, row: dict[str, Any], is_over: bool) -> dict[str, Any]:
    """A row of units.json as it is now; of a finished run that was copied without its units, as it was written."""
    known = {key: row[key] for key in UNIT if isinstance(row.get(key), str)}
    if len(known) < len(UNIT) or not UNITS.fullmatch(known["directory"]):
        raise Damaged(f"{path / 'units.json'} is damaged (it names no units): {UNDO}")
    folder = Folder(beside(path, known["directory"]))
    try:
        now = status_of_unit(folder)
    except Damaged as fault:
        return {**known, "status": "damaged", "why": str(fault)}
    if is_over and now["status"] == "missing" and not folder.path.is_dir():
        return {**row, "elsewhere": True}
    return known | now


def results_of(path: Path, manifest: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a run has found, nothing where it has no results; Damaged where they are not what it wrote."""
    folder, manifest = Folder(path), manifest if manifest is not None else Folder(path).read_object("manifest.json")
    demand_as_written(path, ("results.json",), manifest)
    return folder.read_object("results.json")


def demand_as_written(path: Path, names: Iterable[str], manifest: Mapping[str, Any] | None = None) -> None:
    """Raise Damaged where one of these files of a run is there and is not what the run wrote."""
    folder = Folder(path)
    files = (folder.read_object("manifest.json") if manifest is None else manifest).get("files", {})
    for name in names:
        with suppress(FileNotFoundError):
            if name in files:
                held(path, name)  # one that is not there is no fault here
                folder.read_bytes(name, files[name])


def runs_under(root: Path, command: str = "*") -> list[Path]:
    """All run directories under `run.root`, the newest last."""
    found = [(_moment(manifest), manifest.parent.name, manifest.parent) for manifest in root.glob(f"{command}/*/manifest.json")]
    return [path for _, _, path in sorted(found)]


def _moment(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # a link that leads nowhere, or deleted just now
        return 0.0
