"""A unit of a run: its identity, its directory, its checkpoints, its result."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from sgdtheory.errors import RunError, UserError
from sgdtheory.runs.digests import digest
from sgdtheory.runs.folder import UNDO, CorruptFile, Folder
from sgdtheory.runs.foreign import MOST_SIGN, bytes_of
from sgdtheory.runs.interrupt import is_stop_requested, stop_if_asked
from sgdtheory.runs.logged import GrowingLog, Logged
from sgdtheory.runs.plain import Facts, Json, plain_object
from sgdtheory.runs.tensors import State, Tensors
from sgdtheory.runs.writing import naming, temporary_of

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINT_SECONDS = 5.0  # at most this much work is lost to kill -9
PROGRESS_SECONDS = 0.2


class Estimate(NamedTuple):
    """What one unit is going to cost: seconds, bytes of memory at the peak, bytes on disk."""

    seconds: float
    memory: float
    disk: float


def _no_work(folder: "UnitFolder") -> None:
    raise RunError(f"{folder.path}: this unit was read from a file, and only its results are known")


@dataclass(frozen=True)
class Unit:
    """The smallest piece of work that can be done again alone.

    `config` is what it computes, as plain data: its hash is the unit's identity. `work` computes it
    in the unit's directory, reading the results of the units that it `needs`; `cost` measures
    shortly what that takes.
    """

    name: str
    config: Facts
    work: Callable[["UnitFolder"], None] = field(default=_no_work, compare=False, repr=False)
    needs: tuple["Unit", ...] = field(default=(), compare=False, repr=False)
    cost: Callable[[], Estimate] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def hash(self) -> str:
        return digest(self.config)[:16]


@dataclass(frozen=True)
class UnitFolder(Folder):
    """The directory of one unit: whoever runs it reads the newest state from here."""

    unit: Unit
    _times: dict[str, float] = field(default_factory=dict, compare=False)
    _kept: list[Json] = field(default_factory=list, compare=False)
    # stages so far, and what was logged after each
    _passed: dict[str, Logged] = field(default_factory=dict, compare=False)
    # the rows of metrics on disk, once this process has read them
    _written: list[GrowingLog] = field(default_factory=list, compare=False)

    @property
    def status(self) -> Json:
        """{"status": "missing" | "running" | "unfinished" | "done" | "failed", …}; none is done
        without its files."""
        found = status_of_unit(self)
        whole = all((self.path / f"result.{kind}").exists() for kind in ("json", "safetensors"))
        return found if whole or found["status"] != "done" else {**found, "status": "unfinished"}

    @property
    def result(self) -> Json | None:
        """The unit's result when it is done, else None."""
        return self.written() if self.status["status"] == "done" else None

    def written(self) -> Json | None:
        """The result as `finish` has written it, whatever the status says; None when it has not, or
        not all of it."""
        found: Json | None = self.read_json("result.json")
        if found is None or not (self.path / "result.safetensors").exists():
            return None
        checksum = found.pop("checksum", None)
        if found.get("unit") != self.unit.hash or checksum != digest(found):
            raise CorruptFile(
                f"{self.path / 'result.json'} was edited or belongs to another unit: {UNDO}"
            )
        return found

    def clouds(self) -> "dict[str, Tensor]":
        """The tensors of a finished unit, […] each, checked against the digest in its result."""
        result = self.result
        if result is None:
            raise RunError(f"{self.unit.name} is not finished: {self.path}")
        return self.read_tensors("result.safetensors", result["sha256"])

    # what a unit's work uses

    def needed(self) -> list["UnitFolder"]:
        """The directories of the units that this one needs, in their order."""
        return [UnitFolder(self.path.parent / unit.hash, unit) for unit in self.unit.needs]

    def resume(self, stage: str) -> State | None:
        """The newest state of a stage (tensors, facts), None at its beginning; what was kept or
        logged later is forgotten."""
        state = self._kept_in("state.safetensors")
        if state is not None and state[1]["stage"] != stage:
            state = None
        for path in self.path.glob("stage-*.safetensors"):
            if path.stem.removeprefix("stage-") not in self._passed:
                path.unlink()
        self._forget_rows(Logged.of(state[1]) if state is not None else self._last_passed())
        return state

    def _last_passed(self) -> Logged:
        return max(self._passed.values(), key=lambda logged: logged.rows, default=Logged(0, None))

    def _forget_rows(self, kept: Logged) -> None:
        """Have the rows of metrics alone that were there when a state was kept; CorruptFile
        where they are others now."""
        if self._written and self._written[0].logged() == kept:
            return  # this process has written them
        rows = self._rows_since(kept)[: kept.rows]
        self.write_text("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        self._written[:] = [GrowingLog(rows)]

    def _rows_since(self, kept: Logged) -> list[Json]:
        """The rows of metrics; CorruptFile where they do not begin with those that were there when
        a state was kept."""
        rows, where = self.rows("metrics.jsonl"), self.path / "metrics.jsonl"
        undo = f"put it back, or delete {self.path}"
        if len(rows) < kept.rows:
            raise CorruptFile(f"{where} has {len(rows)} of the {kept.rows} rows it had: {undo}")
        if kept.rows_sha256 not in (None, digest(rows[: kept.rows])):
            raise CorruptFile(f"{where} is not what this unit wrote (checksums differ): {undo}")
        return rows

    def _kept_in(self, name: str) -> State | None:
        """(tensors, facts) of a file that this unit has kept."""
        found = self.read_stamped(name)
        if found is not None and found[1]["unit"] != self.unit.hash:
            raise CorruptFile(f"{self.path / name} belongs to another unit: {UNDO}")
        return found

    def log(self, **row: object) -> None:
        """One row of metrics; it reaches the disk with the next `keep`, in the order of the
        calls."""
        self._kept.append(row)

    def keep(
        self,
        state: Callable[[], tuple[Tensors, Facts]],
        done: float,
        what: str = "",
    ) -> None:
        """Call after every step: tells progress (`done` in 0 … 1), saves the state now and then,
        and stops when asked.

        `state` gives (tensors, facts) enough to resume from exactly; it is called only when it is
        going to be written.
        """
        now = time.monotonic()
        last = self._times.setdefault("state", now)
        if now - self._times.get("progress", 0.0) > PROGRESS_SECONDS:
            self._times["progress"] = now
            self.tell(done, what)
        if now - last > CHECKPOINT_SECONDS or is_stop_requested():
            self.save(*state())
            self._times["state"] = now
            stop_if_asked()

    def flush(self) -> None:
        """Have the rows that were logged on disk."""
        if self._kept:
            rows = [plain_object(row) for row in self._kept]
            self.append("metrics.jsonl", rows)
            self._kept.clear()
            for log in self._written:
                log.add(rows)

    def save(self, tensors: Tensors, facts: Facts, name: str = "state.safetensors") -> Logged:
        """Keep a state now. Metrics first: rows beyond what was kept last are cut when it is read.
        Gives what there is of them, by which the state knows them again."""
        self.flush()
        if not self._written:
            self._written.append(GrowingLog(self.rows("metrics.jsonl")))
        kept = self._written[0].logged()
        self.write_tensors(name, tensors, {**facts, "unit": self.unit.hash, **kept._asdict()})
        return kept

    def save_checkpoint(self, name: str, tensors: Tensors, facts: Facts) -> None:
        """Keep where work of several stages stands: what was logged so far stays, whichever stage
        is the next to resume."""
        self._passed[name] = self.save(
            tensors, {**facts, "stage": name}, f"stage-{name}.safetensors"
        )

    def load_checkpoint(self, name: str) -> State | None:
        """(tensors, facts) of the checkpoint of a stage, None where there is none."""
        found = self._kept_in(f"stage-{name}.safetensors")
        if found is None:
            return None
        if found[1]["stage"] != name:
            raise CorruptFile(
                f"{self.path / f'stage-{name}.safetensors'} is that of {found[1]['stage']}: {UNDO}"
            )
        self._passed[name] = Logged.of(found[1])
        return found

    def end_stage(self, name: str, cloud: "Tensor") -> None:
        """Keep the last cloud [P, n] of a stage, so that the next one begins there after an
        interruption."""
        self.save_checkpoint(name, {"cloud": cloud}, {})
        (self.path / "state.safetensors").unlink(missing_ok=True)

    def stage(self, name: str) -> "Tensor | None":
        """The last cloud [P, n] of a finished stage, else None."""
        found = self.load_checkpoint(name)
        return None if found is None else found[0]["cloud"]

    def keep_snapshot(self, name: str, cloud: "Tensor") -> None:
        """Keep a cloud [P, n] of a trajectory; one that is passed again after an interruption is
        the same."""
        self.write_tensors(
            f"snapshot-{name}.safetensors", {"cloud": cloud}, {"unit": self.unit.hash}
        )

    def snapshot(self, name: str) -> "Tensor":
        """A cloud [P, n] that was kept by this name."""
        file = f"snapshot-{name}.safetensors"
        found = self._kept_in(file)
        if found is None:
            raise CorruptFile(f"{self.path / file} is missing: delete {self.path} and run again")
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
            found = json.loads(bytes_of(self.path, ".progress", MOST_SIGN))
            return float(found["done"]), str(found["what"])
        except (OSError, UserError, ValueError, KeyError, TypeError):
            return 0.0, ""

    def finish(self, result: Facts, tensors: Tensors) -> None:
        """Keep the result: tensors, then the numbers that vouch for them and for themselves."""
        self.flush()
        rows = digest(self._rows_since(self._last_passed()))
        sha256 = self.write_tensors("result.safetensors", tensors)
        known = {**result, "unit": self.unit.hash, "sha256": sha256, "rows_sha256": rows}
        numbers = plain_object(known)
        self.write_json("result.json", {**numbers, "checksum": digest(numbers)})

    def logged(self) -> list[Json]:
        """What was logged on the way to a result; CorruptFile where it was changed since."""
        known, rows = (self.result or {}).get("rows_sha256"), self.rows("metrics.jsonl")
        if known not in (None, digest(rows)):
            raise CorruptFile(
                f"{self.path / 'metrics.jsonl'} is not what this unit wrote (checksums "
                f"differ): {UNDO}"
            )
        return rows

    def forget_states(self) -> None:
        """Delete what only an unfinished unit needs."""
        for pattern in ("state.safetensors", "stage-*.safetensors", "snapshot-*.safetensors"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def reset_failed(self) -> None:
        """Count as unfinished instead of failed; what it has cost stays."""
        kept = {key: value for key, value in self.status.items() if key != "why"}
        self.write_json("status.json", {**kept, "status": "unfinished"})


def status_of_unit(folder: Folder) -> Json:
    """What status.json says, made true: nobody runs a unit that is not locked."""
    found = folder.read_object("status.json")
    found.setdefault("status", "missing")
    if found["status"] == "running" and not folder.is_locked():
        found = {**found, **folder.read_object("status.json")}  # it may have ended meanwhile
        found["status"] = "unfinished" if found["status"] == "running" else found["status"]
    return found
