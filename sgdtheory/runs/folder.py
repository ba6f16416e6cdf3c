"""A directory whose every file is whole or absent: atomic writes, append-only logs, locks, checked
tensors.

No torch at import: `status` and `report` read run directories without it.

"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sgdtheory.errors import RunError, UserError
from sgdtheory.runs.foreign import MOST_JSON, MOST_ROWS, bytes_of, held, parsed, refuse_leading_out
from sgdtheory.runs.locks import LEASE, holding, is_held, still_held
from sgdtheory.runs.processes import started

UNFINISHED = ".sgdtheory.tmp"  # how the name of a file ends while it is written
OURS = re.compile(r"\..+\.(\d+)-([^.]*)\.sgdtheory\.tmp")
UNDO = "put it back, or delete it and run the same command again"

Json: TypeAlias = dict[str, Any]  # an object read from a file of a run


class CorruptFile(RunError):
    """A file is not as it was written: nothing is done with it, and the message says which one and
    what to do."""


class DirectoryGone(CorruptFile):
    """A directory is not where it was when its work began."""


def digest(thing: Any) -> str:
    """SHA-256 of the canonical JSON of plain data, in hexadecimal: equal things have equal digests
    on every machine."""
    text = json.dumps(thing, sort_keys=True, separators=(",", ":"), allow_nan=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(text: str) -> str:
    """SHA-256 of the file that a text becomes."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def beside(path: Path, relative: str) -> Path:
    """A directory that is named as seen from another one: by the names that lead there, since one
    of them may be a link; else by where they lead."""
    named = os.path.abspath(f"{path}/{relative}")  # noqa: PTH100  (faster than a Path's, for thousands)
    if os.path.isdir(named) or not os.path.isdir(f"{path}/{relative}"):  # noqa: PTH112
        return Path(named)
    return path / relative


def digest_of_content(path: Path, files: Iterable[Path] | None = None) -> str:
    """SHA-256 of what a file holds; of a folder, of the names and contents of `files` in it, by
    default of all.

    Links are followed: what lies behind one is what is read.

    """
    found = hashlib.sha256()
    for file in (
        [path] if path.is_file() else sorted(_files_below(path) if files is None else files)
    ):
        if file != path:
            found.update(os.fsencode(file.relative_to(path)))
        with file.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()


def _files_below(path: Path) -> Iterator[Path]:
    """All ordinary files below a folder, through links too, each folder once."""
    seen = set()
    for here, folders, names in os.walk(path, followlinks=True):
        if (place := os.path.realpath(here)) in seen:  # a link that leads back up
            folders.clear()
            continue
        seen.add(place)
        yield from (file for name in names if (file := Path(here, name)).is_file())


def plain(thing: Any) -> Any:
    """Plain data as JSON has it: numpy scalars become numbers, tuples lists, paths text, and what
    is not finite null."""
    if isinstance(thing, Mapping):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(value) for value in thing]
    if hasattr(thing, "item") and getattr(thing, "ndim", 1) == 0:
        thing = thing.item()
    if isinstance(thing, float) and thing - thing != 0:
        return None
    return str(thing) if isinstance(thing, Path) else thing


@dataclass(frozen=True)
class Folder:
    """One directory. Nothing half-written is ever read back: a file is replaced in one step or
    stays as it was."""

    path: Path

    def write_bytes(self, name: str, content: bytes) -> str:
        """Replace a file: temporary file, fsync, rename, fsync of the directory; gives the SHA-256
        of the content.

        An OSError names the file, which is then as it was before.

        """
        self.demand_presence()
        target = self.path / name
        if "/" in name:
            refuse_leading_out(self.path, os.path.dirname(name))  # noqa: PTH120  (it is no path yet)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_of(target)
        try:
            with naming(target):
                with temporary.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
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

    def write_json(self, name: str, thing: Any) -> str:
        return self.write_text(
            name, json.dumps(plain(thing), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        )

    def read_json(self, name: str, default: Any = None) -> Any:
        """What a JSON file holds, `default` when there is none; a damaged one is a RunError that
        names it."""
        try:
            found = parsed(bytes_of(self.path, name, MOST_JSON).decode("utf-8"), name)
        except (FileNotFoundError, NotADirectoryError):
            return default
        except ValueError as fault:
            if isinstance(fault, UserError):
                raise
            raise CorruptFile(
                f"{self.path / name} is damaged ({fault}); delete it to have it written again"
            ) from None
        except OSError as fault:
            raise CorruptFile(f"{self.path / name} cannot be read ({fault.strerror})") from None
        if isinstance(default, dict | list) and not isinstance(found, type(default)):
            raise CorruptFile(
                f"{self.path / name} is damaged (it is another thing); delete it to have it "
                f"written again"
            )
        return found

    def read_object(self, name: str) -> dict[str, Any]:
        """What a JSON file that is an object holds, nothing when there is none; CorruptFile when
        it is no object."""
        found: dict[str, Any] = self.read_json(name, {})
        return found

    def read_list(self, name: str) -> list[dict[str, Any]]:
        """What a JSON file that is a list of objects holds, nothing when there is none; CorruptFile
        when it is none."""
        found: list[dict[str, Any]] = self.read_json(name, [])
        if not all(isinstance(row, dict) for row in found):
            raise CorruptFile(
                f"{self.path / name} is damaged (no list of JSON objects); delete it to have "
                f"it written again"
            )
        return found

    # append-only files of one JSON object a line

    def append(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Append rows; what a killed process left of a torn last line is cut off first."""
        self.demand_presence()
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            held(self.path, name)
        with naming(path), path.open("ab+") as stream:
            end = stream.seek(0, os.SEEK_END)
            if end:
                stream.seek(end - 1)
                if stream.read(1) != b"\n":
                    stream.seek(0)
                    stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write("".join(json.dumps(plain(row)) + "\n" for row in rows).encode())
            stream.flush()
            os.fsync(stream.fileno())

    def rows(self, name: str) -> list[dict[str, Any]]:
        """All whole rows of an append-only file; a torn last line does not count."""
        try:
            content = bytes_of(self.path, name, MOST_ROWS)
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        try:
            return [json.loads(line) for line in whole.splitlines()]
        except (ValueError, RecursionError) as fault:
            raise CorruptFile(
                f"{self.path / name} is damaged ({fault}); delete it and run the same command again"
            ) from None

    # tensors, in safetensors without metadata (its order is random there), so that equal runs are
    # equal bytes

    def write_tensors(
        self, name: str, tensors: Mapping[str, Any], facts: Mapping[str, Any] | None = None
    ) -> str:
        """Replace a safetensors file; gives the SHA-256 of its bytes.

        With `facts`, the file vouches for itself: a tensor "stamp" holds them together with a
        checksum of all.
        """
        from safetensors.torch import save

        content = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        if facts is not None:
            content["stamp"] = _stamp(plain(facts), content)
        return self.write_bytes(name, save(content))

    def read_tensors(self, name: str, sha256: str | None = None) -> dict[str, Any]:
        """The tensors of a file; CorruptFile when it is truncated besides."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        data = self.read_bytes(name, sha256)
        try:
            return {key: value.clone() for key, value in load(data).items()}
        except (SafetensorError, ValueError) as fault:
            raise CorruptFile(
                f"{self.path / name} is damaged or truncated ({fault}): {UNDO}"
            ) from None

    def read_stamped(self, name: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Tensors and facts of a file written with `facts`, None when there is no such file;
        CorruptFile when they disagree."""
        if not (self.path / name).exists():
            return None
        tensors = self.read_tensors(name)
        try:
            facts = json.loads(bytes(tensors.pop("stamp").numpy().tobytes()))
            whole = facts.pop("checksum") == _checksum(tensors, facts)
        except (KeyError, ValueError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise CorruptFile(f"{self.path / name} is damaged (checksums differ): {UNDO}")
        return tensors, facts

    # locks

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold this directory for one process while in the block; yields False when another one has
        it.

        What killed processes have left half-written here is swept away.

        """
        self.path.mkdir(parents=True, exist_ok=True)
        with holding(self.path) as mine:
            if mine:
                self._sweep()
            yield mine

    def _sweep(self) -> None:
        for temporary in (*self.path.glob(f".*{UNFINISHED}"), *self.path.glob(f"*/.*{UNFINISHED}")):
            found = OURS.fullmatch(temporary.name)
            if found is not None and started(int(found[1])) != found[2]:
                temporary.unlink(missing_ok=True)

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


def temporary_of(target: Path) -> Path:
    """Where a file is written before it is moved to its place: known as ours, and whose, by its
    name."""
    return target.with_name(f".{target.name}.{os.getpid()}-{started(os.getpid())}{UNFINISHED}")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError in this block says which file it is about."""
    try:
        yield
    except OSError as fault:
        raise OSError(fault.errno, fault.strerror, str(path)) from None


def _checksum(tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    found = hashlib.sha256(digest(facts).encode())
    for key, value in sorted(tensors.items()):
        found.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.numpy().tobytes())
    return found.hexdigest()


def _stamp(facts: Mapping[str, Any], tensors: Mapping[str, Any]) -> Any:
    import torch

    text = json.dumps({**facts, "checksum": _checksum(tensors, facts)}, sort_keys=True)
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
