"""A directory whose every file is whole or absent: atomic writes, append-only logs, locks, checked tensors.

No torch at import: `status` and `report` read run directories without it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgdtheory.faults import Failure


def digest(thing: Any) -> str:
    """SHA-256 of the canonical JSON of plain data, in hexadecimal: equal things have equal digests on every machine."""
    text = json.dumps(thing, sort_keys=True, separators=(",", ":"), allow_nan=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_content(path: Path) -> str:
    """SHA-256 of what a file holds; of a folder, of the names and contents of all its files."""
    found = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if file != path:
            found.update(str(file.relative_to(path)).encode())
        with file.open("rb") as stream:
            found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()


def plain(thing: Any) -> Any:
    """Plain data as JSON has it: numpy scalars become numbers, tuples lists, paths text, and what is not finite null."""
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
    """One directory. Nothing half-written is ever read back: a file is replaced in one step or stays as it was."""

    path: Path

    def write_bytes(self, name: str, content: bytes) -> None:
        """Replace a file: temporary file, fsync, rename, fsync of the directory."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        directory = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def write_text(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode())

    def write_json(self, name: str, thing: Any) -> None:
        self.write_text(name, json.dumps(plain(thing), indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def read_json(self, name: str, default: Any = None) -> Any:
        """What a JSON file holds, `default` when there is none; a damaged one is a Failure that names it."""
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return default
        except (json.JSONDecodeError, UnicodeDecodeError) as fault:
            raise Failure(f"{self.path / name} is damaged ({fault}); delete it to have it written again") from None

    # append-only files of one JSON object a line

    def append(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Append rows; what a killed process left of a torn last line is cut off first."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            end = stream.seek(0, os.SEEK_END)
            if end:
                stream.seek(end - 1)
                if stream.read(1) != b"\n":
                    stream.seek(0)
                    stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write("".join(json.dumps(plain(row)) + "\n" for row in rows).encode())

    def rows(self, name: str) -> list[dict[str, Any]]:
        """All whole rows of an append-only file; a torn last line does not count."""
        try:
            content = (self.path / name).read_bytes()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        try:
            return [json.loads(line) for line in whole.splitlines()]
        except (json.JSONDecodeError, UnicodeDecodeError) as fault:
            raise Failure(f"{self.path / name} is damaged ({fault}); delete it and run the same command again") from None

    # tensors, in safetensors without metadata (its order is random there), so that equal runs are equal bytes

    def write_tensors(self, name: str, tensors: Mapping[str, Any], facts: Mapping[str, Any] | None = None) -> str:
        """Replace a safetensors file; gives the SHA-256 of its bytes.

        With `facts`, the file vouches for itself: a tensor "stamp" holds them together with a checksum of the rest.
        """
        from safetensors.torch import save

        content = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        if facts is not None:
            content["stamp"] = _stamp({**facts, "checksum": _checksum(content)})
        data = save(content)
        self.write_bytes(name, data)
        return hashlib.sha256(data).hexdigest()

    def read_tensors(self, name: str, sha256: str | None = None) -> dict[str, Any]:
        """The tensors of a file; a Failure when it is damaged, or when its SHA-256 is not the one that was kept."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.path / name
        data = path.read_bytes()
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise Failure(f"{path} is not the file that this run wrote (checksums differ): put it back, or delete the unit")
        try:
            return {key: value.clone() for key, value in load(data).items()}
        except (SafetensorError, ValueError) as fault:
            raise Failure(f"{path} is damaged or truncated ({fault}): delete it to start again from the beginning") from None

    def read_stamped(self, name: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Tensors and facts of a file written with `facts`, None when there is no such file; a Failure when they disagree."""
        if not (self.path / name).exists():
            return None
        tensors = self.read_tensors(name)
        try:
            facts = json.loads(bytes(tensors.pop("stamp").numpy().tobytes()))
            whole = facts.pop("checksum") == _checksum(tensors)
        except (KeyError, ValueError):
            whole = False
        if not whole:
            raise Failure(f"{self.path / name} is damaged (checksum): delete it to start again from the beginning")
        return tensors, facts

    # locks

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Hold this directory for one process while in the block; yields False when another one has it.

        A flock on a file descriptor that is closed on exec: it dies with its process, whatever kills it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Whether a living process holds this directory. Asks without writing, so read-only disks can be read."""
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)


def _checksum(tensors: Mapping[str, Any]) -> str:
    found = hashlib.sha256()
    for key in sorted(tensors):
        found.update(key.encode())
        found.update(tensors[key].numpy().tobytes())
    return found.hexdigest()


def _stamp(facts: Mapping[str, Any]) -> Any:
    import torch

    return torch.frombuffer(bytearray(json.dumps(plain(facts), sort_keys=True).encode()), dtype=torch.uint8)
