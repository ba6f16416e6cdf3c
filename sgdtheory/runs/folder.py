"""A directory whose every file is whole or absent: atomic writes, append-only logs, locks, checked
tensors.

No torch at import: `status` and `report` read run directories without it.

"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sgdtheory.errors import RunError, UserError
from sgdtheory.runs.foreign import MOST_JSON, MOST_ROWS, bytes_of, held, parsed, refuse_leading_out
from sgdtheory.runs.leases import LEASE
from sgdtheory.runs.locks import LOCK, holding, is_held, still_held
from sgdtheory.runs.plain import Facts, plain
from sgdtheory.runs.plain import Json as Json
from sgdtheory.runs.tensors import State, Tensors, packed, split_stamp, unpacked
from sgdtheory.runs.writing import append_lines, replace_file, sweep

if TYPE_CHECKING:
    from torch import Tensor

UNDO = "put it back, or delete it and run the same command again"
AGAIN = "delete it to have it written again"


class CorruptFile(RunError):
    """A file is not as it was written: nothing is done with it, and the message says which one and
    what to do."""


class DirectoryGone(CorruptFile):
    """A directory is not where it was when its work began."""


def beside(path: Path, relative: str) -> Path:
    """A directory that is named as seen from another one: by the names that lead there, since one
    of them may be a link; else by where they lead."""
    # These functions are faster than a Path's: a list of runs calls them for thousands.
    named = os.path.abspath(f"{path}/{relative}")  # noqa: PTH100
    if os.path.isdir(named) or not os.path.isdir(f"{path}/{relative}"):  # noqa: PTH112
        return Path(named)
    return path / relative


@dataclass(frozen=True)
class Folder:
    """One directory. Nothing half-written is ever read back: a file is replaced in one step or
    stays as it was."""

    path: Path

    def write_bytes(self, name: str, content: bytes) -> str:
        """Replace a file; gives the SHA-256 of the content.

        An OSError names the file, which is then as it was before.

        """
        self.demand_presence()
        target = self.path / name
        if "/" in name:
            folder = os.path.dirname(name)  # noqa: PTH120  (it is no path yet)
            refuse_leading_out(self.path, folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, content)
        return hashlib.sha256(content).hexdigest()

    def read_bytes(self, name: str, sha256: str | None = None) -> bytes:
        """What a file holds; CorruptFile when it is missing, or its SHA-256 is not the one that was
        kept."""
        path = self.path / name
        try:
            content = bytes_of(self.path, name)
        except FileNotFoundError:
            raise CorruptFile(
                f"{path} is missing: put it back, or run the command that wrote it again"
            ) from None
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptFile(
                f"{path} is not the file that this run wrote (checksums differ): {UNDO}"
            )
        return content

    def write_text(self, name: str, text: str) -> str:
        """In UTF-8, whatever the locale; bytes of a file's name that are no text stay as \\udcXX,
        which JSON and YAML read."""
        return self.write_bytes(name, text.encode("utf-8", "backslashreplace"))

    def write_json(self, name: str, thing: object) -> str:
        text = json.dumps(plain(thing), indent=1, ensure_ascii=False, allow_nan=False)
        return self.write_text(name, text + "\n")

    def read_json(self, name: str, default: Any = None) -> Any:
        """What a JSON file holds, `default` when there is none; a damaged one is a RunError that
        names it."""
        try:
            content = parsed(bytes_of(self.path, name, MOST_JSON).decode("utf-8"), name)
        except (FileNotFoundError, NotADirectoryError):
            return default
        except UserError:
            raise
        except ValueError as fault:
            raise CorruptFile(f"{self.path / name} is damaged ({fault}); {AGAIN}") from None
        except OSError as fault:
            raise CorruptFile(f"{self.path / name} cannot be read ({fault.strerror})") from None
        if isinstance(default, dict | list) and not isinstance(content, type(default)):
            raise CorruptFile(f"{self.path / name} is damaged (it is another thing); {AGAIN}")
        return content

    def read_object(self, name: str) -> Json:
        """What a JSON file that is an object holds, nothing when there is none; CorruptFile when
        it is no object."""
        content: Json = self.read_json(name, {})
        return content

    def read_list(self, name: str) -> list[Json]:
        """What a JSON file that is a list of objects holds, nothing when there is none; CorruptFile
        when it is none."""
        rows: list[Json] = self.read_json(name, [])
        if not all(isinstance(row, dict) for row in rows):
            raise CorruptFile(f"{self.path / name} is damaged (no list of JSON objects); {AGAIN}")
        return rows

    def own(self, name: str) -> Path:
        """Where a file is written in place, there already or not; UserError where it is a link that
        leads out, or no file."""
        path = self.path / name
        if path.is_symlink():
            held(self.path, name)
        return path

    # append-only files of one JSON object a line

    def append(self, name: str, rows: list[Json]) -> None:
        """Append rows; what a killed process left of a torn last line is cut off first."""
        self.demand_presence()
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(plain(row)) + "\n" for row in rows]
        append_lines(self.own(name), "".join(lines))

    def rows(self, name: str) -> list[Json]:
        """All whole rows of an append-only file; a torn last line does not count."""
        try:
            content = bytes_of(self.path, name, MOST_ROWS)
        except FileNotFoundError:
            return []
        end = content.rfind(b"\n") + 1
        try:
            return [json.loads(line) for line in content[:end].splitlines()]
        except (ValueError, RecursionError) as fault:
            raise CorruptFile(
                f"{self.path / name} is damaged ({fault}); delete it and run the same command again"
            ) from None

    # tensors

    def write_tensors(
        self,
        name: str,
        tensors: Tensors,
        facts: Facts | None = None,
    ) -> str:
        """Replace a safetensors file; gives the SHA-256 of its bytes. With `facts`, the file
        vouches for itself."""
        return self.write_bytes(name, packed(tensors, facts))

    def read_tensors(self, name: str, sha256: str | None = None) -> "dict[str, Tensor]":
        """The tensors of a file, […] each; CorruptFile when it is truncated besides."""
        data = self.read_bytes(name, sha256)
        try:
            return unpacked(data)
        except ValueError as fault:
            raise CorruptFile(
                f"{self.path / name} is damaged or truncated ({fault}): {UNDO}"
            ) from None

    def read_stamped(self, name: str) -> State | None:
        """Tensors and facts of a file written with `facts`, None when there is no such file;
        CorruptFile when they disagree."""
        if not (self.path / name).exists():
            return None
        state = split_stamp(self.read_tensors(name))
        if state is None:
            raise CorruptFile(f"{self.path / name} is damaged (checksums differ): {UNDO}")
        return state

    # locks

    @contextlib.contextmanager
    def lock(self, looks_on: bool = True) -> Iterator[bool]:
        """Hold this directory for one process while in the block; yields False when another one has
        it.

        What killed processes have left half-written here is swept away. `looks_on`: signs of life
        of a holder on another machine are waited for, for half a minute at most; else whoever has
        none counts as dead at a later call.

        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.own(LOCK)
        with holding(self.path, looks_on) as is_mine:
            if is_mine:
                sweep(self.path)
            yield is_mine

    def is_locked(self) -> bool:
        """Whether a living process holds this directory."""
        return is_held(self.path)

    def demand_presence(self) -> None:
        """Raise DirectoryGone when this process holds the directory and it was moved or deleted
        meanwhile."""
        if not still_held(self.path):
            taken = (self.path / LEASE).exists()
            what = (
                "was taken over by another process" if taken else "was moved, deleted or replaced"
            )
            raise DirectoryGone(
                f"{self.path} {what} while it was worked on: run the same command again"
            )
